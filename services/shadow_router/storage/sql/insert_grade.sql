-- $1 pair's sequence, $2 experiment, $3 comparison, $4 source, $5 grader_version, $6 primary_loss, $7 candidate_loss, $8 time
INSERT INTO grade (pair, experiment, comparison, source, grader_version, primary_loss, candidate_loss, time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (pair, source, grader_version) DO NOTHING;
