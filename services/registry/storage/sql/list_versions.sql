-- $1 project, $2 task, $3 prompt, $4 microseconds and $5 digest of the last one seen ('' = from the newest), $6 limit
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM activate_time) * 1000000)::bigint AS activate_us
  FROM prompt_version
 WHERE project = $1 AND task = $2 AND prompt = $3
   AND ($5 = '' OR (create_time, digest) < ('epoch'::timestamptz + $4::bigint * interval '1 microsecond', $5))
 ORDER BY create_time DESC, digest DESC LIMIT $6;
