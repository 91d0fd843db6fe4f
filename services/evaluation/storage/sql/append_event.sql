-- $1 resource, $2 time, $3 type, $4 message, $5 data. The caller has locked the resource's row, so the sequence has no gap.
INSERT INTO event (resource, sequence, time, type, message, data)
SELECT $1, COALESCE(max(sequence), 0) + 1, $2::timestamptz, $3, $4, $5::json
  FROM event
 WHERE resource = $1;
