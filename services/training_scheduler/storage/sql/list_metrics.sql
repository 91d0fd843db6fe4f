-- $1 job, $2 after (step), $3 every n-th by position from the first, $4 limit.
SELECT step, time_us, epoch, metrics FROM (
  SELECT step, (extract(epoch FROM time) * 1000000)::bigint AS time_us, epoch, metrics::text AS metrics,
         row_number() OVER (ORDER BY step) - 1 AS position
    FROM job_metric WHERE job_id = $1::uuid) AS m
 WHERE step > $2 AND position % $3 = 0
 ORDER BY step LIMIT $4;
