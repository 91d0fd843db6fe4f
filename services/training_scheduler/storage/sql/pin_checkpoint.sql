UPDATE job_checkpoint SET pinned = $3, update_time = clock_timestamp() WHERE job_id = $1::uuid AND step = $2
RETURNING step, digest, adapter_digest, epoch, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
          (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
          metrics::text AS metrics, pinned;
