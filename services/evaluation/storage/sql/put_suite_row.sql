-- $1 suite_digest, $2 position, $3 row_digest, $4 body.
INSERT INTO suite_row (suite_digest, position, row_digest, body)
VALUES ($1, $2, $3, $4::json)
ON CONFLICT DO NOTHING;
