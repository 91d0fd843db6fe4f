-- Resources of evaluation as documents: the columns are what they are found by and what must hold, `body` is the domain's JSON
-- (json, not jsonb: it is never searched, and models do say U+0000, which jsonb refuses).
CREATE TABLE resource (
  sequence          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind              text        NOT NULL CHECK (kind IN ('suite', 'run', 'comparison', 'ladder', 'decision')),
  name              text        NOT NULL UNIQUE,
  project           text        NOT NULL,
  task              text        NOT NULL DEFAULT '',
  parent            text        NOT NULL DEFAULT '',
  state             text        NOT NULL,
  body              json        NOT NULL,
  version           bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
  request_id        text,
  payload_digest    text,
  claim_owner       text,
  claim_expire_time timestamptz,
  create_time       timestamptz NOT NULL DEFAULT now(),
  update_time       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT resource_state CHECK (CASE kind
    WHEN 'suite'      THEN state = 'FROZEN'
    WHEN 'run'        THEN state IN ('QUEUED', 'RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED')
    WHEN 'comparison' THEN state = 'DONE'
    WHEN 'ladder'     THEN state IN ('RUNNING', 'MET', 'CEILING', 'NOT_ENOUGH_EVIDENCE', 'CANCELLED', 'FAILED')
    WHEN 'decision'   THEN state IN ('OPEN', 'SIGNED', 'VETOED', 'REOPENED')
  END),
  CONSTRAINT resource_request CHECK ((request_id IS NULL) = (payload_digest IS NULL)),
  CONSTRAINT resource_claim CHECK ((claim_owner IS NULL) = (claim_expire_time IS NULL)),
  CONSTRAINT resource_claim_kind CHECK (claim_owner IS NULL OR kind = 'run')
);
CREATE UNIQUE INDEX resource_request_id ON resource (kind, project, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX resource_list ON resource (kind, project, sequence DESC);
CREATE INDEX resource_task ON resource (kind, task, sequence DESC);
CREATE INDEX resource_open_runs ON resource (sequence) WHERE kind = 'run' AND state IN ('QUEUED', 'RUNNING');
CREATE INDEX resource_open_ladders ON resource (sequence) WHERE kind = 'ladder' AND state = 'RUNNING';

-- Rows of a suite version. Written once: a digest's rows never change.
CREATE TABLE suite_row (
  suite_digest text  NOT NULL,
  position     int   NOT NULL CHECK (position >= 0),
  row_digest   text  NOT NULL,
  body         json  NOT NULL,
  PRIMARY KEY (suite_digest, position),
  UNIQUE (suite_digest, row_digest)
);

-- One answer per (suite row, system, repeat): the primary key is the promise that nothing is asked twice.
CREATE TABLE answer (
  suite_digest        text             NOT NULL,
  row_digest          text             NOT NULL,
  system_digest       text             NOT NULL,
  repeat              int              NOT NULL CHECK (repeat >= 0),
  run                 text             NOT NULL,
  output              text             NOT NULL,
  finish_reason       text             NOT NULL,
  error               text             NOT NULL,
  input_tokens        bigint           NOT NULL CHECK (input_tokens >= 0),
  cached_input_tokens bigint           NOT NULL CHECK (cached_input_tokens >= 0),
  output_tokens       bigint           NOT NULL CHECK (output_tokens >= 0),
  cost                double precision,
  latency             double precision NOT NULL CHECK (latency >= 0),
  first_token         double precision NOT NULL CHECK (first_token >= 0),
  cached              boolean          NOT NULL,
  revision            text             NOT NULL,
  time                timestamptz      NOT NULL,
  PRIMARY KEY (suite_digest, row_digest, system_digest, repeat),
  FOREIGN KEY (suite_digest, row_digest) REFERENCES suite_row (suite_digest, row_digest)
);
CREATE INDEX answer_system ON answer (suite_digest, system_digest);

-- A person's latest word on the observed answer of a row.
CREATE TABLE judgement (
  suite_digest text        NOT NULL,
  row_digest   text        NOT NULL,
  annotator    text        NOT NULL CHECK (annotator <> ''),
  verdict      text        NOT NULL CHECK (verdict IN ('CORRECT', 'PARTIAL', 'WRONG')),
  comment      text        NOT NULL,
  time         timestamptz NOT NULL,
  PRIMARY KEY (suite_digest, row_digest, annotator)
);

-- What happened to a resource, for Watch. Sequences have no gaps within a resource.
CREATE TABLE event (
  resource text        NOT NULL,
  sequence bigint      NOT NULL CHECK (sequence > 0),
  time     timestamptz NOT NULL,
  type     text        NOT NULL,
  message  text        NOT NULL,
  data     json        NOT NULL,
  PRIMARY KEY (resource, sequence)
);
