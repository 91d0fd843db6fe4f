-- A later epoch that has started anew comes by the same steps; the last word counts.
INSERT INTO job_checkpoint (job_id, step, digest, adapter_digest, epoch, create_time, metrics, pinned)
VALUES ($1::uuid, $2, $3, $4, $5, $6::timestamptz, $7::jsonb, false)
ON CONFLICT (job_id, step) DO UPDATE
   SET digest = excluded.digest, adapter_digest = excluded.adapter_digest, epoch = excluded.epoch,
       create_time = excluded.create_time, update_time = clock_timestamp(), metrics = excluded.metrics
 WHERE job_checkpoint.epoch <= excluded.epoch;
