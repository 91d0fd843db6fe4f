-- $1 project, $2 id, $3 filename, $4 purpose, $5 size, $6 sha256, $7 state, $8 reason, $9 details
INSERT INTO file (project, id, filename, purpose, size_bytes, sha256, state, state_reason, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb) ON CONFLICT DO NOTHING RETURNING 1;
