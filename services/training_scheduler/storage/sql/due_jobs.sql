-- $1 limit. By class: leases that have run out, deadlines that have passed, BLOCKED jobs that wait for nothing any more
-- (or whose dependency failed), jobs whose validation is outstanding.
SELECT id::text AS id FROM (
  SELECT id, 0 AS class FROM job
   WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') AND lease_expire_time < clock_timestamp()
  UNION ALL
  SELECT id, 1 FROM job
   WHERE deadline IS NOT NULL AND deadline <= clock_timestamp() AND finish_time IS NULL
     AND state NOT IN ('PAUSING', 'CANCELLING')
  UNION ALL
  SELECT id, 2 FROM job j
   WHERE state = 'BLOCKED' AND (start_time IS NULL OR start_time <= clock_timestamp())
     AND (NOT EXISTS (SELECT 1 FROM job d WHERE d.id = ANY (j.depends_on) AND d.finish_time IS NULL)
          OR EXISTS (SELECT 1 FROM job d WHERE d.id = ANY (j.depends_on) AND d.state IN ('FAILED', 'CANCELLED')))
  UNION ALL
  SELECT id, 3 FROM job WHERE state = 'VALIDATING'
) AS due
 GROUP BY id
 ORDER BY min(class), id
 LIMIT $1;
