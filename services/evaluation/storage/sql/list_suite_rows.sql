-- $1 suite_digest.
SELECT body::text
  FROM suite_row
 WHERE suite_digest = $1
 ORDER BY position;
