-- $1 project, $2 microseconds and $3 id of the last one seen ('' = from the newest), $4 limit
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM expire_time) * 1000000)::bigint AS expire_us,
       (extract(epoch FROM former_expire_time) * 1000000)::bigint AS former_expire_us
  FROM api_key
 WHERE project = $1
   AND ($3 = '' OR (create_time, id) < ('epoch'::timestamptz + $2::bigint * interval '1 microsecond', nullif($3, '')::uuid))
 ORDER BY create_time DESC, id DESC LIMIT $4;
