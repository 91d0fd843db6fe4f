-- $1 worker, $2 incarnation ('' = any).
SELECT id::text AS id FROM job
 WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') AND lease_worker = $1 AND ($2 = '' OR lease_incarnation = $2)
 ORDER BY id;
