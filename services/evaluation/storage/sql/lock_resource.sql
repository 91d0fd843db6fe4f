-- $1 name.
SELECT 1 FROM resource WHERE name = $1 FOR UPDATE;
