-- $1 worker, $2 seconds to live. No row: nothing to do. A run the worker itself holds comes first: it never heard of that
-- claim, whose connection broke during COMMIT.
WITH next AS MATERIALIZED (
  SELECT project, id FROM run
   WHERE state = 'QUEUED' OR (state = 'RUNNING' AND (lease_expire_time <= now() OR lease_owner = $1))
   ORDER BY lease_owner IS NOT DISTINCT FROM $1 DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE run SET state = 'RUNNING', lease_owner = $1, lease_epoch = lease_epoch + 1,
               lease_expire_time = now() + make_interval(secs => $2),
               details = jsonb_set(details, '{funnel}', '[]'::jsonb)
  FROM next WHERE run.project = next.project AND run.id = next.id
RETURNING run.project, run.id;
