-- $1 worker, $2 incarnation, $3 seconds to live, $4 token hashes, $5 kinds, $6 queues, $7 project (these: empty = all).
-- The materialised CTE keeps the planner from locking more rows than it returns.
WITH c AS MATERIALIZED (
  SELECT id FROM job
   WHERE state = 'QUEUED'
     AND ($5::text[] = '{}' OR kind = ANY ($5::text[]))
     AND ($6::text[] = '{}' OR queue = ANY ($6::text[]))
     AND ($7::text = '' OR project = $7)
   ORDER BY rank_time, id
     FOR NO KEY UPDATE SKIP LOCKED
   LIMIT cardinality($4::text[])
), t AS (
  SELECT id, ($4::text[])[row_number() OVER ()] AS token_hash, clock_timestamp() AS now FROM c
), u AS (
  UPDATE job j
     SET state = 'RUNNING', state_reason = 'leased to ' || $1, lease_epoch = lease_epoch + 1, worker = $1,
         lease_token_hash = t.token_hash, lease_worker = $1, lease_incarnation = $2, lease_grant_time = t.now,
         lease_expire_time = t.now + make_interval(secs => $3), lease_worker_seq = 0,
         run_time = COALESCE(run_time, t.now), update_time = t.now,
         last_event_sequence = last_event_sequence + 1, revision = revision + 1
    FROM t WHERE j.id = t.id
  RETURNING j.id, j.last_event_sequence, j.lease_epoch, j.last_checkpoint_step, t.now
), m AS (
  DELETE FROM job_metric USING u WHERE job_id = u.id AND step > u.last_checkpoint_step
), e AS (
  INSERT INTO job_event (job_id, sequence, time, level, type, message, data, epoch)
  SELECT id, last_event_sequence, now, 'INFO', 'LEASED', 'leased to ' || $1, '{"from":"QUEUED","to":"RUNNING"}', lease_epoch
    FROM u
)
SELECT id::text AS id FROM u;
