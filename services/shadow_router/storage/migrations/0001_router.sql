-- Routes, experiments and what went through them. Settings that only the router reads are jsonb; what is searched, joined or
-- constrained is a column. What clients and models wrote is json, not jsonb: jsonb refuses the character U+0000, which either
-- may send, and nothing here looks inside.

CREATE TABLE route (
  name            text PRIMARY KEY CHECK (name ~ '^projects/[^/]+/routes/[^/]+$'),
  project         text NOT NULL,
  settings        jsonb NOT NULL,
  config_version  bigint NOT NULL DEFAULT 1 CHECK (config_version >= 1),
  experiment      text,                                   -- that moves it
  create_time     timestamptz NOT NULL,
  update_time     timestamptz NOT NULL,
  CHECK (settings -> 'variants' ? (settings ->> 'primary'))
);
CREATE INDEX route_project ON route (project, name);

CREATE TABLE experiment (
  name            text PRIMARY KEY CHECK (name ~ '^projects/[^/]+/experiments/[^/]+$'),
  project         text NOT NULL,
  route           text NOT NULL REFERENCES route (name) ON DELETE CASCADE,
  settings        jsonb NOT NULL,
  state           text NOT NULL CHECK (state IN ('DRAFT', 'CALIBRATING', 'SHADOW', 'CANARY', 'PROMOTED', 'REVERSE_SHADOW',
                                                 'COMPLETED', 'ROLLED_BACK', 'PAUSED', 'ABORTED')),
  paused_from     text NOT NULL,
  state_reason    text NOT NULL DEFAULT '',
  step            integer NOT NULL DEFAULT 0 CHECK (step >= 0),
  state_time      timestamptz NOT NULL,
  start_time      timestamptz,
  finish_time     timestamptz,
  comparison      integer NOT NULL DEFAULT 0 CHECK (comparison >= 0),
  provenance      text NOT NULL DEFAULT '',
  transitions     bigint NOT NULL DEFAULT 0,               -- number of the last one: the fence of every change
  revision        bigint NOT NULL DEFAULT 1,               -- etag
  create_time     timestamptz NOT NULL,
  update_time     timestamptz NOT NULL,
  CHECK ((state IN ('COMPLETED', 'ROLLED_BACK', 'ABORTED')) = (finish_time IS NOT NULL)),
  CHECK (state = 'DRAFT' OR state = 'ABORTED' OR start_time IS NOT NULL)
);
CREATE INDEX experiment_project ON experiment (project, name);
CREATE INDEX experiment_running ON experiment (name) WHERE state NOT IN ('DRAFT', 'COMPLETED', 'ROLLED_BACK', 'ABORTED');
-- One experiment at a time moves a route.
CREATE UNIQUE INDEX experiment_active ON experiment (route)
  WHERE state NOT IN ('DRAFT', 'COMPLETED', 'ROLLED_BACK', 'ABORTED');

CREATE TABLE transition (
  experiment      text NOT NULL REFERENCES experiment (name) ON DELETE CASCADE,
  sequence        bigint NOT NULL CHECK (sequence >= 1),
  from_state      text NOT NULL,
  to_state        text NOT NULL,
  from_step       integer NOT NULL,
  to_step         integer NOT NULL,
  actor           text NOT NULL,
  time            timestamptz NOT NULL,
  statistics      jsonb NOT NULL,
  words           text NOT NULL CHECK (words <> ''),
  PRIMARY KEY (experiment, sequence)
);

-- What a request_id made. Kept for good: a repeat must find it.
CREATE TABLE request (
  project         text NOT NULL,
  request_id      text NOT NULL,
  name            text NOT NULL,
  payload         text NOT NULL,                           -- digest
  PRIMARY KEY (project, request_id)
);

CREATE TABLE ledger (
  instance        text NOT NULL,
  incarnation     text NOT NULL,
  experiment      text NOT NULL REFERENCES experiment (name) ON DELETE CASCADE,
  comparison      integer NOT NULL,
  minute          timestamptz NOT NULL,
  eligible        bigint NOT NULL,
  sampled         bigint NOT NULL,
  paired          bigint NOT NULL,
  failed          jsonb NOT NULL,                          -- reason → count
  failed_total    bigint NOT NULL,
  dropped         jsonb NOT NULL,
  dropped_total   bigint NOT NULL,
  in_flight       bigint NOT NULL CHECK (in_flight >= 0),
  bytes           bigint NOT NULL,
  PRIMARY KEY (experiment, comparison, minute, instance, incarnation),
  CHECK (sampled = paired + failed_total + dropped_total + in_flight),
  CHECK (eligible >= sampled)
);
CREATE INDEX ledger_in_flight ON ledger (instance) WHERE in_flight > 0;

CREATE TABLE arm (
  instance        text NOT NULL,
  incarnation     text NOT NULL,
  experiment      text NOT NULL REFERENCES experiment (name) ON DELETE CASCADE,
  comparison      integer NOT NULL,
  weight          integer NOT NULL CHECK (weight BETWEEN 0 AND 10000),
  counts          jsonb NOT NULL,
  PRIMARY KEY (experiment, comparison, weight, instance, incarnation)
);

CREATE TABLE pair (
  sequence        bigserial PRIMARY KEY,
  id              uuid NOT NULL UNIQUE,
  experiment      text NOT NULL REFERENCES experiment (name) ON DELETE CASCADE,
  comparison      integer NOT NULL,
  request_id      text NOT NULL,
  completion_id   text NOT NULL,
  time            timestamptz NOT NULL,
  store_time      timestamptz NOT NULL DEFAULT clock_timestamp(),
  cluster         text NOT NULL,
  self_compare    boolean NOT NULL,
  validity        text NOT NULL,
  agree           boolean NOT NULL,
  gradable        boolean NOT NULL,                        -- every answer was kept whole: a late label can be held against it
  facts           json NOT NULL,                           -- what the tests read
  body            json NOT NULL                            -- the whole pair, grades left out
);
CREATE INDEX pair_order ON pair (experiment, comparison, sequence);
CREATE INDEX pair_newest ON pair (experiment, sequence DESC);
CREATE INDEX pair_request ON pair (request_id);
CREATE INDEX pair_completion ON pair (completion_id) WHERE completion_id <> '';
CREATE INDEX pair_gradable ON pair (experiment, store_time) WHERE gradable;

CREATE TABLE grade (
  sequence        bigserial PRIMARY KEY,
  pair            bigint NOT NULL REFERENCES pair (sequence) ON DELETE CASCADE,
  experiment      text NOT NULL,
  comparison      integer NOT NULL,
  source          text NOT NULL,
  grader_version  text NOT NULL,
  primary_loss    double precision NOT NULL CHECK (primary_loss BETWEEN 0 AND 1),
  candidate_loss  double precision NOT NULL CHECK (candidate_loss BETWEEN 0 AND 1),
  time            timestamptz NOT NULL,
  UNIQUE (pair, source, grader_version)
);
CREATE INDEX grade_order ON grade (experiment, comparison, sequence);

CREATE TABLE feedback (
  project         text NOT NULL,
  id              text NOT NULL,
  inference_id    text NOT NULL,
  name            text NOT NULL,
  value           json NOT NULL,
  author          text NOT NULL,
  time            timestamptz NOT NULL,
  store_time      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (project, id)
);
CREATE INDEX feedback_inference ON feedback (inference_id, id);
CREATE INDEX feedback_right_output ON feedback (store_time) WHERE name IN ('label', 'demonstration');

CREATE TABLE recording (
  id              uuid PRIMARY KEY,
  route           text NOT NULL,
  time            timestamptz NOT NULL,
  body            json NOT NULL
);
CREATE INDEX recording_route ON recording (route, id DESC);

-- One row: rises with every change that the routing table depends on.
CREATE TABLE routing_version (
  only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version         bigint NOT NULL
);
INSERT INTO routing_version (version) VALUES (1);
