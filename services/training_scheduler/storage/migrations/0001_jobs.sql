-- Jobs, what they report, and the models they make. State machine: docs/state_machines.md.
CREATE TABLE job (
  id                      uuid PRIMARY KEY,          -- UUIDv7: key order is creation order
  project                 text NOT NULL,
  request_id              text,
  payload_hash            text,
  display_name            text NOT NULL,
  labels                  jsonb NOT NULL,
  kind                    text NOT NULL
    CHECK (kind IN ('SFT', 'PREFERENCE', 'DISTIL', 'SWEEP', 'EXPORT', 'SCORE')),
  task                    text NOT NULL,
  base_model              text NOT NULL,
  dataset_version         text NOT NULL,
  priority                integer NOT NULL CHECK (priority BETWEEN -100 AND 100),
  queue                   text NOT NULL,
  start_time              timestamptz,
  deadline                timestamptz,
  depends_on              uuid[] NOT NULL,
  max_failures            integer NOT NULL CHECK (max_failures > 0),

  spec                    jsonb NOT NULL,            -- what was asked for; never changes
  plan                    jsonb NOT NULL,            -- resolved spec, inputs, estimate; set once by validation
  report                  jsonb NOT NULL,            -- progress, actual, outputs, error, log tail

  state                   text NOT NULL
    CHECK (state IN ('VALIDATING', 'BLOCKED', 'QUEUED', 'RUNNING', 'PAUSING', 'PAUSED', 'CANCELLING',
                     'SUCCEEDED', 'FAILED', 'CANCELLED')),
  state_reason            text NOT NULL,
  lease_epoch             bigint NOT NULL CHECK (lease_epoch >= 0),
  failure_count           integer NOT NULL CHECK (failure_count >= 0),
  lease_loss_count        integer NOT NULL CHECK (lease_loss_count >= 0),
  last_checkpoint_step    bigint NOT NULL,
  checkpoint_step_at_loss bigint NOT NULL,
  last_checkpoint_digest  text NOT NULL,
  worker                  text NOT NULL,             -- that holds, or last held, the lease

  lease_token_hash        text,
  lease_worker            text,
  lease_incarnation       text,
  lease_grant_time        timestamptz,
  lease_expire_time       timestamptz,
  lease_worker_seq        bigint,

  create_time             timestamptz NOT NULL,
  update_time             timestamptz NOT NULL,
  run_time                timestamptz,
  ready_time              timestamptz,
  finish_time             timestamptz,
  rank_time               timestamptz NOT NULL,      -- claim order: ready_time - priority * ageing step
  last_event_sequence     bigint NOT NULL,
  revision                bigint NOT NULL,

  CONSTRAINT leased_means_a_lease_is_recorded CHECK (
    (state IN ('RUNNING', 'PAUSING', 'CANCELLING'))
    = (lease_token_hash IS NOT NULL)
    AND num_nonnulls(lease_token_hash, lease_worker, lease_incarnation, lease_grant_time, lease_expire_time,
                     lease_worker_seq) IN (0, 6)),
  CONSTRAINT terminal_means_finished CHECK (
    (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (finish_time IS NOT NULL)),
  CONSTRAINT queued_means_ready CHECK (state <> 'QUEUED' OR ready_time IS NOT NULL)
) WITH (fillfactor = 70);  -- beats rewrite the row in place

CREATE UNIQUE INDEX job_request ON job (project, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX job_list ON job (project, id);
CREATE INDEX job_claim ON job (rank_time, id) WHERE state = 'QUEUED';
CREATE INDEX job_waiting ON job (id) WHERE state IN ('VALIDATING', 'BLOCKED');
CREATE INDEX job_leased ON job (id) WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING');

CREATE TABLE job_event (
  job_id      uuid NOT NULL REFERENCES job ON DELETE CASCADE,
  sequence    bigint NOT NULL CHECK (sequence > 0),  -- without gaps: set under the job's row lock
  time        timestamptz NOT NULL,
  level       text NOT NULL,
  type        text NOT NULL,
  message     text NOT NULL,
  data        text NOT NULL,
  epoch       bigint NOT NULL,
  worker_seq  bigint,                                -- NULL: not from a worker
  PRIMARY KEY (job_id, sequence),
  CONSTRAINT a_worker_says_everything_once UNIQUE (job_id, epoch, worker_seq)
);

CREATE TABLE job_metric (
  job_id      uuid NOT NULL REFERENCES job ON DELETE CASCADE,
  step        bigint NOT NULL,
  time        timestamptz NOT NULL,
  epoch       bigint NOT NULL,
  metrics     jsonb NOT NULL,
  PRIMARY KEY (job_id, step)
);

CREATE TABLE job_checkpoint (
  job_id         uuid NOT NULL REFERENCES job ON DELETE CASCADE,
  step           bigint NOT NULL CHECK (step > 0),
  digest         text NOT NULL,
  adapter_digest text NOT NULL,
  epoch          bigint NOT NULL,
  create_time    timestamptz NOT NULL,
  metrics        jsonb NOT NULL,
  pinned         boolean NOT NULL,
  PRIMARY KEY (job_id, step)
);

CREATE TABLE model (
  project      text NOT NULL,
  model        text NOT NULL,
  display_name text NOT NULL DEFAULT '',
  labels       jsonb NOT NULL DEFAULT '{}',
  create_time  timestamptz NOT NULL DEFAULT now(),
  update_time  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project, model)
);

CREATE TABLE model_version (
  ordinal          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  project          text NOT NULL,
  model            text NOT NULL,
  digest           text NOT NULL,
  kind             text NOT NULL CHECK (kind IN ('BASE', 'ADAPTER', 'MERGED', 'GGUF', 'GGUF_ADAPTER')),
  architecture     text NOT NULL,
  base_digest      text NOT NULL,
  tokenizer_digest text NOT NULL,
  template_digest  text NOT NULL,
  parameters       bigint NOT NULL,
  bytes            bigint NOT NULL,
  hidden_size      bigint NOT NULL,
  context_length   bigint NOT NULL,
  source_job       text NOT NULL,
  dataset_version  text NOT NULL,
  task             text NOT NULL,
  licence          text NOT NULL,
  alias            text NOT NULL,
  create_time      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (project, model, digest),
  FOREIGN KEY (project, model) REFERENCES model,
  CHECK (kind = 'BASE' OR base_digest <> '')
);

CREATE UNIQUE INDEX model_version_alias ON model_version (project, alias) WHERE alias <> '';
CREATE INDEX model_version_digest ON model_version (project, digest);
CREATE INDEX model_version_base ON model_version (project, base_digest) WHERE base_digest <> '';
CREATE INDEX model_version_data ON model_version (project, dataset_version) WHERE dataset_version <> '';
