-- $1 id, $2 project, $3 request_id, $4 payload hash, $5 labels, $6 state. No row: the key was used before.
INSERT INTO pipeline (id, project, request_id, payload_hash, labels, state, due_time)
VALUES ($1::uuid, $2, NULLIF($3, ''), NULLIF($4, ''), $5::jsonb, $6, clock_timestamp())
ON CONFLICT (project, request_id) WHERE request_id IS NOT NULL DO NOTHING
RETURNING 1;
