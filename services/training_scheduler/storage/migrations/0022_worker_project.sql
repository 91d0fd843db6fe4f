-- Whose jobs the worker may have, as the key says that its life first asked with; '' = all, NULL = it has not asked since.
ALTER TABLE worker ADD COLUMN only_project text;
