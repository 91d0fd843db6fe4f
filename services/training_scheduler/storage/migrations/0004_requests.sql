-- Keys of calls that change what exists already; creations of jobs keep theirs in the job.
CREATE TABLE request (
  project      text NOT NULL,
  request_id   text NOT NULL,
  payload_hash text NOT NULL,
  model        text NOT NULL DEFAULT '',  -- what an import registered
  digest       text NOT NULL DEFAULT '',
  create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (project, request_id)
);

CREATE INDEX job_deadline ON job (deadline) WHERE deadline IS NOT NULL AND finish_time IS NULL;

-- A process that still works under a name which a later one has taken is told so.
ALTER TABLE worker ADD COLUMN previous_incarnation text NOT NULL DEFAULT '';
