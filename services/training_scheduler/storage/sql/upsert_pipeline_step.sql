-- $1 pipeline, $2 position, $3 step, $4 kind, $5 resource, $6 state, $7 attempt, $8 go_on, $9 created, $10 output, $11 error.
INSERT INTO pipeline_step (pipeline_id, position, step, kind, resource, state, attempt, go_on, created, output, error)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (pipeline_id, position) DO UPDATE
   SET state = EXCLUDED.state, attempt = EXCLUDED.attempt, go_on = EXCLUDED.go_on, created = EXCLUDED.created,
       output = EXCLUDED.output, error = EXCLUDED.error;
