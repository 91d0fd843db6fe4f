SELECT step, digest, adapter_digest, epoch, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       metrics::text AS metrics, pinned
  FROM job_checkpoint WHERE job_id = $1::uuid ORDER BY step;
