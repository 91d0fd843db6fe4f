-- $1 project, $2 request id, $3 payload, $4 resource. No row: the id was used before.
INSERT INTO request (project, request_id, payload, resource) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING 1;
