-- $1 owner, $2 seconds to live. The oldest run that waits, or whose runner has gone.
WITH candidate AS MATERIALIZED (
  SELECT sequence
    FROM resource
   WHERE kind = 'run' AND state IN ('QUEUED', 'RUNNING') AND (claim_expire_time IS NULL OR claim_expire_time < now())
   ORDER BY sequence
   LIMIT 1
   FOR UPDATE SKIP LOCKED
)
UPDATE resource
   SET claim_owner = $1, claim_expire_time = now() + make_interval(secs => $2)
  FROM candidate
 WHERE resource.sequence = candidate.sequence
RETURNING kind, name, project, task, parent, state, body::text, version, resource.sequence;
