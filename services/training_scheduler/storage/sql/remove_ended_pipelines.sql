-- $1 seconds since they ended, $2 limit. Steps go with their pipeline. One that still has to cancel what a step created stays.
-- now(): as in remove_ended_deliveries.sql.
WITH old AS (
  SELECT id FROM pipeline
   WHERE state <> 'RUNNING' AND due_time IS NULL AND update_time <= now() - make_interval(secs => $1)
   ORDER BY update_time LIMIT $2 FOR UPDATE SKIP LOCKED)
DELETE FROM pipeline p USING old WHERE p.id = old.id RETURNING 1;
