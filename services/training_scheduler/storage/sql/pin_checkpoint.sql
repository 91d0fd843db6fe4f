UPDATE job_checkpoint SET pinned = $3 WHERE job_id = $1::uuid AND step = $2
RETURNING step, digest, adapter_digest, epoch, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
          metrics::text AS metrics, pinned;
