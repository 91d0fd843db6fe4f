-- $1 worker, $2 seconds to live. No row: nothing to do.
WITH next AS MATERIALIZED (
  SELECT project, id FROM run
   WHERE state = 'QUEUED' OR (state = 'RUNNING' AND lease_expire_time <= now())
   ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE run SET state = 'RUNNING', lease_owner = $1, lease_epoch = lease_epoch + 1,
               lease_expire_time = now() + make_interval(secs => $2),
               details = jsonb_set(details, '{funnel}', '[]'::jsonb)
  FROM next WHERE run.project = next.project AND run.id = next.id
RETURNING run.project, run.id;
