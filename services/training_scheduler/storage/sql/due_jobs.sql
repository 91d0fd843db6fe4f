-- $1 limit. Leases that have run out, jobs that may have become ready, jobs whose validation is outstanding.
SELECT id::text AS id FROM job
 WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') AND lease_expire_time < clock_timestamp()
    OR state = 'BLOCKED' AND (start_time IS NULL OR start_time <= clock_timestamp())
    OR state = 'VALIDATING'
 ORDER BY id
 LIMIT $1;
