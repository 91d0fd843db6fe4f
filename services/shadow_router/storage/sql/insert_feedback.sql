-- $1 id, $2 project, $3 inference_id, $4 name, $5 value, $6 author, $7 time. Whether a pair is stored under the inference id; no row:
-- the id is taken.
INSERT INTO feedback (id, project, inference_id, name, value, author, time) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (project, id) DO NOTHING
RETURNING EXISTS (SELECT FROM pair p WHERE (p.request_id = $3 OR p.completion_id = $3 AND p.completion_id <> '')
                     AND starts_with(p.experiment, $2 || '/'));
