SELECT state, queue, count(*) AS jobs,
       COALESCE((extract(epoch FROM clock_timestamp() - min(ready_time)) * 1000000)::bigint, 0) AS oldest_us
  FROM job WHERE finish_time IS NULL GROUP BY state, queue;
