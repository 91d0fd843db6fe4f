-- What the registry keeps. Documents are JSON that nothing here looks into; states and keys are columns.

CREATE TABLE request (
  project text NOT NULL,
  request_id text NOT NULL,
  payload text NOT NULL,
  resource text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project, request_id)
);

CREATE TABLE resource (
  kind text NOT NULL CHECK (kind IN ('project', 'task', 'prompt', 'upstream', 'collection')),
  project text NOT NULL,
  parent text NOT NULL DEFAULT '',
  id text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  revision bigint NOT NULL DEFAULT 1,
  state text NOT NULL DEFAULT '',
  state_reason text NOT NULL DEFAULT '',
  document jsonb NOT NULL,
  PRIMARY KEY (kind, project, parent, id),
  CHECK ((kind = 'prompt') = (parent <> '')),
  CHECK ((kind = 'project') = (id = '')),
  CHECK (CASE kind WHEN 'task' THEN state IN ('ACTIVE', 'ARCHIVED')
                   WHEN 'upstream' THEN state IN ('READY', 'UNHEALTHY')
                   WHEN 'collection' THEN state IN ('BUILDING', 'READY', 'STALE')
                   ELSE state = '' END)
);
CREATE INDEX resource_newest ON resource (kind, project, create_time DESC);
INSERT INTO resource (kind, project, id, document) VALUES ('project', 'default', '', '{"display_name": "Default"}');

CREATE TABLE prompt_version (
  project text NOT NULL,
  task text NOT NULL,
  prompt text NOT NULL,
  digest text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  activate_time timestamptz,
  state text NOT NULL DEFAULT 'DRAFT' CHECK (state IN ('DRAFT', 'ACTIVE', 'RETIRED')),
  spec text NOT NULL,  -- the bytes that were hashed
  labels jsonb NOT NULL,
  parent text NOT NULL,
  note text NOT NULL,
  evaluation text NOT NULL DEFAULT '',
  override_reason text NOT NULL DEFAULT '',
  PRIMARY KEY (project, task, prompt, digest),
  CHECK ((state = 'DRAFT') = (activate_time IS NULL)),
  CHECK (state = 'DRAFT' OR evaluation <> '' OR override_reason <> '')
);
CREATE UNIQUE INDEX prompt_version_one_active ON prompt_version (project, task, prompt) WHERE state = 'ACTIVE';

-- Which version came into use when.
CREATE TABLE prompt_activation (
  project text NOT NULL,
  task text NOT NULL,
  prompt text NOT NULL,
  sequence bigint GENERATED ALWAYS AS IDENTITY,
  digest text NOT NULL,
  time timestamptz NOT NULL DEFAULT clock_timestamp(),
  evaluation text NOT NULL,
  override_reason text NOT NULL,
  PRIMARY KEY (project, task, prompt, sequence),
  FOREIGN KEY (project, task, prompt, digest) REFERENCES prompt_version
);

CREATE TABLE api_key (
  project text NOT NULL,
  id uuid NOT NULL,
  create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  revision bigint NOT NULL DEFAULT 1,
  revoked boolean NOT NULL DEFAULT false,
  role integer NOT NULL CHECK (role > 0),
  key_hash text NOT NULL UNIQUE CHECK (key_hash ~ '^[0-9a-f]{64}$'),
  prefix text NOT NULL CHECK (length(prefix) <= 10),
  former_hash text NOT NULL DEFAULT '',
  former_expire_time timestamptz,
  expire_time timestamptz,
  document jsonb NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX api_key_former ON api_key (former_hash) WHERE former_hash <> '';
