-- $1 resource, $2 after sequence, $3 limit.
SELECT sequence, time::text, type, message, data::text
  FROM event
 WHERE resource = $1 AND sequence > $2
 ORDER BY sequence
 LIMIT $3;
