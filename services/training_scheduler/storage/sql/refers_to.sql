-- $1 project, $2 digest.
SELECT EXISTS (SELECT 1 FROM job WHERE project = $1
                  AND $2 IN (report->'outputs'->>'adapter_digest', report->'outputs'->>'artifact_digest',
                             report->'outputs'->>'report_digest'))
    OR EXISTS (SELECT 1 FROM job_checkpoint c JOIN job ON job.id = c.job_id
                WHERE job.project = $1 AND $2 IN (c.digest, c.adapter_digest)) AS found;
