-- $1 id, $2 project, $3 request_id, $4 payload hash, $5 url, $6 event types, $7 labels, $8 secret, $9 disabled. No row: the key was
-- used before.
INSERT INTO webhook_endpoint (id, project, request_id, payload_hash, url, event_types, labels, secret, disabled)
VALUES ($1::uuid, $2, NULLIF($3, ''), NULLIF($4, ''), $5, $6::text[], $7::jsonb, $8, $9)
ON CONFLICT (project, request_id) WHERE request_id IS NOT NULL DO NOTHING
RETURNING 1;
