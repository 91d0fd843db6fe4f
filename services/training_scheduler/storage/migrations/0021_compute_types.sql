-- What the worker computes in, as job.spec names it: the first unless a job asks for another. '{}' = not known.
ALTER TABLE worker ADD COLUMN compute_types text[] NOT NULL DEFAULT '{}';
