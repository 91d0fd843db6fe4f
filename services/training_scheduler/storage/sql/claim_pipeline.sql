-- $1 seconds until it is due again. The pipeline that has been due longest.
WITH c AS MATERIALIZED (
  SELECT id FROM pipeline WHERE due_time <= clock_timestamp() ORDER BY due_time FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
)
UPDATE pipeline p SET due_time = clock_timestamp() + make_interval(secs => $1) FROM c WHERE p.id = c.id
RETURNING p.id::text AS id, p.project;
