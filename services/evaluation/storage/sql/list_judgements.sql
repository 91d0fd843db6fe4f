-- $1 suite_digest.
SELECT row_digest, annotator, verdict, comment, time::text
  FROM judgement
 WHERE suite_digest = $1
 ORDER BY row_digest, annotator;
