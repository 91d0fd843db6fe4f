-- $1 kind, $2 name, $3 project, $4 task, $5 parent, $6 state, $7 body, $8 request_id, $9 payload_digest.
-- No row: the name or the request id is taken.
INSERT INTO resource (kind, name, project, task, parent, state, body, request_id, payload_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7::json, NULLIF($8, ''), CASE WHEN $8 = '' THEN NULL ELSE $9 END)
ON CONFLICT DO NOTHING
RETURNING kind, name, project, task, parent, state, body::text, version, sequence;
