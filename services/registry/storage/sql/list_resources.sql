-- $1 kind, $2 project ('' = all), $3 parent ('-' = all), $4 microseconds and $5 "project/parent/id" of the last one seen
-- ('' = from the newest), $6 limit
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us
  FROM resource
 WHERE kind = $1 AND ($2 = '' OR project = $2) AND ($3 = '-' OR parent = $3)
   AND ($5 = '' OR (create_time, project || '/' || parent || '/' || id)
                   < ('epoch'::timestamptz + $4::bigint * interval '1 microsecond', $5))
 ORDER BY create_time DESC, project || '/' || parent || '/' || id DESC LIMIT $6;
