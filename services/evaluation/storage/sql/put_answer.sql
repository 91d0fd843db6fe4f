-- The first answer stays, unless it was an error and another run has asked again. No row: there was one.
INSERT INTO answer (suite_digest, row_digest, system_digest, repeat, run, output, finish_reason, error, input_tokens,
                    cached_input_tokens, output_tokens, cost, latency, first_token, cached, revision, time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::timestamptz)
ON CONFLICT (suite_digest, row_digest, system_digest, repeat) DO UPDATE
   SET run = EXCLUDED.run, output = EXCLUDED.output, finish_reason = EXCLUDED.finish_reason, error = EXCLUDED.error,
       input_tokens = EXCLUDED.input_tokens, cached_input_tokens = EXCLUDED.cached_input_tokens,
       output_tokens = EXCLUDED.output_tokens, cost = EXCLUDED.cost, latency = EXCLUDED.latency,
       first_token = EXCLUDED.first_token, cached = EXCLUDED.cached, revision = EXCLUDED.revision, time = EXCLUDED.time
 WHERE answer.error <> '' AND answer.run <> EXCLUDED.run
RETURNING repeat;
