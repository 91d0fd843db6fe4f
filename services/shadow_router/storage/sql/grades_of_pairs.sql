-- $1 sequences of pairs
SELECT pair, source, grader_version, primary_loss, candidate_loss, time
  FROM grade WHERE pair = ANY ($1::bigint[]) ORDER BY sequence;
