-- $1 id, $2 experiment, $3 comparison, $4 request_id, $5 completion_id, $6 time, $7 validity, $8 agree, $9 body. No row: it is there.
INSERT INTO pair (id, experiment, comparison, request_id, completion_id, time, validity, agree, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO NOTHING
RETURNING sequence;
