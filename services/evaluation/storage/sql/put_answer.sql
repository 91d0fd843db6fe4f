-- The first answer stays. No row: there was one.
INSERT INTO answer (suite_digest, row_digest, system_digest, repeat, run, output, finish_reason, error, input_tokens,
                    cached_input_tokens, output_tokens, cost, latency, first_token, cached, revision, time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::timestamptz)
ON CONFLICT DO NOTHING
RETURNING repeat;
