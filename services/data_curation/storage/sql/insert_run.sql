-- $1 project, $2 data set, $3 id, $4 recipe digest, $5 details
INSERT INTO run (project, dataset, id, state, recipe_digest, details) VALUES ($1, $2, $3, 'QUEUED', $4, $5::jsonb);
