-- $1 suite_digest.
SELECT count(DISTINCT system_digest) FROM answer WHERE suite_digest = $1;
