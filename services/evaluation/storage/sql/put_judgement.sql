-- $1 suite_digest, $2 row_digest, $3 annotator, $4 verdict, $5 comment, $6 time.
INSERT INTO judgement (suite_digest, row_digest, annotator, verdict, comment, time)
VALUES ($1, $2, $3, $4, $5, $6::timestamptz)
ON CONFLICT (suite_digest, row_digest, annotator)
DO UPDATE SET verdict = EXCLUDED.verdict, comment = EXCLUDED.comment, time = EXCLUDED.time;
