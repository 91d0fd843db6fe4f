-- $1 project, $2 digest of an adapter that a job made, of a checkpoint, or of a checkpoint's adapter. The adapter and its base.
SELECT report->'outputs'->>'adapter_digest' AS adapter, COALESCE(plan->'inputs'->>'base_digest', '') AS base
  FROM job WHERE project = $1 AND $2 <> '' AND report->'outputs'->>'adapter_digest' = $2
UNION ALL
SELECT c.adapter_digest, COALESCE(job.plan->'inputs'->>'base_digest', '')
  FROM job_checkpoint c JOIN job ON job.id = c.job_id
 WHERE job.project = $1 AND c.adapter_digest <> '' AND $2 IN (c.digest, c.adapter_digest)
LIMIT 1;
