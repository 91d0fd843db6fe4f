-- $1 job, $2 after (sequence), $3 limit.
SELECT sequence, (extract(epoch FROM time) * 1000000)::bigint AS time_us, level, type, message, data, epoch,
       COALESCE(worker_seq, 0) AS worker_seq
  FROM job_event WHERE job_id = $1::uuid AND sequence > $2 ORDER BY sequence LIMIT $3;
