INSERT INTO job_checkpoint (job_id, step, digest, adapter_digest, epoch, create_time, metrics, pinned)
VALUES ($1::uuid, $2, $3, $4, $5, $6::timestamptz, $7::jsonb, false);
