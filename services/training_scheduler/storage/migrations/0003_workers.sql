-- Workers that have asked for a lease. What they do now follows from the jobs they hold.
CREATE TABLE worker (
  name         text PRIMARY KEY,
  incarnation  text NOT NULL,
  version      text NOT NULL,
  device       text NOT NULL,
  memory_bytes bigint NOT NULL,
  threads      integer NOT NULL,
  kinds        text[] NOT NULL,
  queues       text[] NOT NULL,
  create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_time    timestamptz NOT NULL DEFAULT clock_timestamp()
);
