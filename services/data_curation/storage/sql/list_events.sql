SELECT sequence, (extract(epoch FROM time) * 1000000)::bigint AS time_us, type, message, data FROM run_event
 WHERE project = $1 AND run = $2 AND sequence > $3 ORDER BY sequence LIMIT $4;
