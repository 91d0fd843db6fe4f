-- $1 project, $2 id, $3 task, $4 details
INSERT INTO dataset (project, id, task, details) VALUES ($1, $2, $3, $4::jsonb) ON CONFLICT DO NOTHING RETURNING 1;
