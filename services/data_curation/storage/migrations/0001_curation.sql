-- What curation keeps. `details` holds what no query looks at; everything a state machine or a key depends on is a column.

CREATE TABLE request (
  project text NOT NULL,
  request_id text NOT NULL,
  payload text NOT NULL,
  resource text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project, request_id)
);

CREATE TABLE file (
  project text NOT NULL,
  id uuid NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  revision bigint NOT NULL DEFAULT 1,
  filename text NOT NULL,
  purpose text NOT NULL,
  size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
  sha256 text NOT NULL,
  state text NOT NULL CHECK (state IN ('UPLOADING', 'VALIDATING', 'READY', 'REJECTED')),
  state_reason text NOT NULL,
  details jsonb NOT NULL,
  PRIMARY KEY (project, id),
  CHECK (state = 'UPLOADING' OR sha256 <> '')
);
CREATE INDEX file_newest ON file (project, create_time DESC, id DESC);

CREATE TABLE file_problem (
  project text NOT NULL,
  file uuid NOT NULL,
  position bigint NOT NULL,
  line bigint NOT NULL,
  field text NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  is_error boolean NOT NULL,
  PRIMARY KEY (project, file, position),
  FOREIGN KEY (project, file) REFERENCES file ON DELETE CASCADE
);

CREATE TABLE dataset (
  project text NOT NULL,
  id text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  revision bigint NOT NULL DEFAULT 1,
  task text NOT NULL,
  current_version text NOT NULL DEFAULT '',
  details jsonb NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX dataset_newest ON dataset (project, create_time DESC, id DESC);

CREATE TABLE run (
  project text NOT NULL,
  dataset text NOT NULL,
  id uuid NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  finish_time timestamptz,
  revision bigint NOT NULL DEFAULT 1,
  state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'NEEDS_REVIEW', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  state_reason text NOT NULL DEFAULT '',
  error_reason text NOT NULL DEFAULT '',
  recipe_digest text NOT NULL,
  dataset_version text NOT NULL DEFAULT '',
  lease_epoch bigint NOT NULL DEFAULT 0,
  lease_owner text,
  lease_expire_time timestamptz,
  last_event bigint NOT NULL DEFAULT 0,
  details jsonb NOT NULL,
  PRIMARY KEY (project, id),
  FOREIGN KEY (project, dataset) REFERENCES dataset ON DELETE CASCADE,
  CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (finish_time IS NOT NULL)),
  CHECK ((state = 'RUNNING') = (lease_owner IS NOT NULL)),
  CHECK ((lease_owner IS NULL) = (lease_expire_time IS NULL))
);
CREATE INDEX run_newest ON run (project, create_time DESC, id DESC);
CREATE INDEX run_claim ON run (id) WHERE state IN ('QUEUED', 'RUNNING');

CREATE TABLE run_event (
  project text NOT NULL,
  run uuid NOT NULL,
  sequence bigint NOT NULL,
  time timestamptz NOT NULL DEFAULT now(),
  type text NOT NULL,
  message text NOT NULL,
  data jsonb NOT NULL,
  PRIMARY KEY (project, run, sequence),
  FOREIGN KEY (project, run) REFERENCES run ON DELETE CASCADE
);

-- Results of steps, by digest of everything they depend on.
CREATE TABLE step (
  key text PRIMARY KEY,
  digest text NOT NULL,
  funnel jsonb NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE version (
  project text NOT NULL,
  dataset text NOT NULL,
  digest text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  run text NOT NULL,
  task text NOT NULL,
  artifact_digest text NOT NULL,
  details jsonb NOT NULL,
  PRIMARY KEY (project, dataset, digest),
  FOREIGN KEY (project, dataset) REFERENCES dataset
);
CREATE INDEX version_newest ON version (project, create_time DESC, dataset DESC, digest DESC);

-- Where each row of a version lies in its shards.
CREATE TABLE version_row (
  project text NOT NULL,
  dataset text NOT NULL,
  version text NOT NULL,
  position bigint NOT NULL,
  row_digest text NOT NULL,
  split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
  shard integer NOT NULL,
  shard_offset bigint NOT NULL,
  PRIMARY KEY (project, dataset, version, position),
  FOREIGN KEY (project, dataset, version) REFERENCES version
);
CREATE INDEX version_row_digest ON version_row (project, row_digest);

CREATE TABLE tombstone (
  project text NOT NULL,
  id uuid NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  row_digest text NOT NULL,
  subject text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (project, id),
  CHECK ((row_digest = '') <> (subject = ''))
);
