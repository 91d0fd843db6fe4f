-- $1 seconds since they ended, $2 limit. Events, metrics and checkpoints go with their job. One that a job which has not ended, or
-- may be retried, depends on stays. now(): as in remove_ended_deliveries.sql.
WITH old AS (
  SELECT id FROM job j
   WHERE finish_time <= now() - make_interval(secs => $1)
     AND NOT EXISTS (SELECT 1 FROM job d WHERE d.depends_on <> '{}' AND d.depends_on @> ARRAY[j.id] AND d.state <> 'SUCCEEDED')
   ORDER BY finish_time LIMIT $2 FOR UPDATE SKIP LOCKED)
DELETE FROM job USING old WHERE job.id = old.id RETURNING 1;
