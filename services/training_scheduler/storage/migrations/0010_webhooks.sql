-- Webhooks: where events of jobs go, and each event on its way (an outbox: written with the job's end).
CREATE TABLE webhook_endpoint (
  id           uuid PRIMARY KEY,
  project      text NOT NULL,
  request_id   text,
  payload_hash text,
  url          text NOT NULL,
  event_types  text[] NOT NULL,           -- empty = all
  labels       jsonb NOT NULL,
  secret       text NOT NULL,             -- signing needs it, so it is not hashed
  disabled     boolean NOT NULL,
  create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
  update_time  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE UNIQUE INDEX webhook_endpoint_request ON webhook_endpoint (project, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX webhook_endpoint_list ON webhook_endpoint (project, id);

CREATE TABLE webhook_delivery (
  id                uuid PRIMARY KEY,     -- UUIDv7
  endpoint_id       uuid NOT NULL REFERENCES webhook_endpoint ON DELETE CASCADE,
  project           text NOT NULL,
  job_id            uuid NOT NULL,
  event_type        text NOT NULL,
  state             text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'EXHAUSTED')),
  attempts          integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_time         timestamptz,
  lease_expire_time timestamptz,          -- an attempt is under way until then
  response_status   integer NOT NULL DEFAULT 0,
  response          text NOT NULL DEFAULT '',
  create_time       timestamptz NOT NULL,
  update_time       timestamptz NOT NULL,

  CONSTRAINT pending_means_it_will_be_tried CHECK ((state = 'PENDING') = (next_time IS NOT NULL)),
  CONSTRAINT only_what_is_pending_is_tried CHECK (state = 'PENDING' OR lease_expire_time IS NULL)
);

CREATE INDEX webhook_delivery_due ON webhook_delivery (next_time) WHERE state = 'PENDING';
CREATE INDEX webhook_delivery_under_way ON webhook_delivery (endpoint_id) WHERE lease_expire_time IS NOT NULL;
CREATE INDEX webhook_delivery_list ON webhook_delivery (project, id);
CREATE INDEX webhook_delivery_of_endpoint ON webhook_delivery (endpoint_id, id);
