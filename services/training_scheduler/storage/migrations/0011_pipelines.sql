-- Pipelines and their steps. State machine: docs/state_machines.md.
CREATE TABLE pipeline (
  id           uuid PRIMARY KEY,
  project      text NOT NULL,
  request_id   text,
  payload_hash text,
  labels       jsonb NOT NULL,
  state        text NOT NULL CHECK (state IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  due_time     timestamptz,              -- when somebody should do what is next; NULL = nothing is to do
  create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
  update_time  timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT a_running_pipeline_is_looked_at CHECK (state <> 'RUNNING' OR due_time IS NOT NULL)
);

CREATE UNIQUE INDEX pipeline_request ON pipeline (project, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX pipeline_list ON pipeline (project, id);
CREATE INDEX pipeline_due ON pipeline (due_time) WHERE due_time IS NOT NULL;

CREATE TABLE pipeline_step (
  pipeline_id uuid NOT NULL REFERENCES pipeline ON DELETE CASCADE,
  position    integer NOT NULL CHECK (position >= 0),
  step        text NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('CURATION_RUN', 'JOB', 'EVALUATION_RUN', 'EXPORT')),
  resource    text NOT NULL,             -- JSON as it was given, references included
  state       text NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  attempt     integer NOT NULL CHECK (attempt > 0),
  go_on       boolean NOT NULL,
  created     text NOT NULL,
  output      text NOT NULL,
  error       text NOT NULL,

  PRIMARY KEY (pipeline_id, position),
  UNIQUE (pipeline_id, step),
  CONSTRAINT success_has_an_output CHECK ((state = 'SUCCEEDED') = (output <> '')),
  CONSTRAINT failure_says_why CHECK (state <> 'FAILED' OR error <> ''),
  CONSTRAINT what_goes_on_was_created CHECK (NOT go_on OR created <> '')
);

CREATE UNIQUE INDEX one_step_runs ON pipeline_step (pipeline_id) WHERE state = 'RUNNING';
