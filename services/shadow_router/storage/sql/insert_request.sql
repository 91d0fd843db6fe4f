-- $1 project, $2 request_id, $3 name, $4 payload digest
INSERT INTO request (project, request_id, name, payload) VALUES ($1, $2, $3, $4);
