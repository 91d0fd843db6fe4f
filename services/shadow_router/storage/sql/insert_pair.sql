-- $1 id, $2 experiment, $3 comparison, $4 request_id, $5 completion_id, $6 time, $7 cluster, $8 self_compare, $9 validity, $10 agree,
-- $11 gradable, $12 facts, $13 body. No row: it is there.
INSERT INTO pair (id, experiment, comparison, request_id, completion_id, time, cluster, self_compare, validity, agree, gradable,
                  facts, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING
RETURNING sequence;
