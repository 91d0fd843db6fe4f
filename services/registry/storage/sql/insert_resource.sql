-- $1 kind, $2 project, $3 parent, $4 id, $5 state, $6 document. No row: it exists.
INSERT INTO resource (kind, project, parent, id, state, document) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
ON CONFLICT DO NOTHING RETURNING 1;
