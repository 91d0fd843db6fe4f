-- $1 project, $2 request_id, $3 payload hash, $4 model, $5 digest. No row: the key was used before.
INSERT INTO request (project, request_id, payload_hash, model, digest) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (project, request_id) DO NOTHING
RETURNING 1;
