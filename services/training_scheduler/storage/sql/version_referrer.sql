-- $1 project, $2 digest. Who needs these weights; no row: nobody.
SELECT 'job ' || id::text AS referrer FROM job
 WHERE project = $1 AND finish_time IS NULL AND $2 IN (plan->'inputs'->>'base_digest', plan->'inputs'->>'adapter_digest')
UNION ALL
SELECT 'model ' || model FROM model_version WHERE project = $1 AND base_digest = $2
LIMIT 1;
