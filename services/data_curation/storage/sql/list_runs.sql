-- $1 project, $2 data set or '-', $3 microseconds and $4 id of the last one seen ('' = from the newest), $5 limit
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM finish_time) * 1000000)::bigint AS finish_us
  FROM run
 WHERE project = $1 AND ($2 = '-' OR dataset = $2)
   AND ($4 = '' OR (create_time, id) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', nullif($4, '')::uuid))
 ORDER BY create_time DESC, id DESC LIMIT $5;
