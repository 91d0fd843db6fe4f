-- $1 project, $2 data set, $3 digest, $4 run, $5 task, $6 artifact, $7 details. No row: it exists.
INSERT INTO version (project, dataset, digest, run, task, artifact_digest, details)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb) ON CONFLICT DO NOTHING RETURNING 1;
