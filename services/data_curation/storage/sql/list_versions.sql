-- $1 project, $2 data set or '-', $3 microseconds, $4 data set and $5 digest of the last one seen ('' = from the newest), $6 limit
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us FROM version
 WHERE project = $1 AND ($2 = '-' OR dataset = $2)
   AND ($5 = '' OR (create_time, dataset, digest) < ('epoch'::timestamptz + $3::bigint * interval '1 microsecond', $4, $5))
 ORDER BY create_time DESC, dataset DESC, digest DESC LIMIT $6;
