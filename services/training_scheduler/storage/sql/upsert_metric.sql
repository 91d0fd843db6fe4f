-- A later epoch repeats the steps above its resume point; the last word counts.
INSERT INTO job_metric (job_id, step, time, epoch, metrics) VALUES ($1::uuid, $2, $3::timestamptz, $4, $5::jsonb)
ON CONFLICT (job_id, step) DO UPDATE
   SET time = excluded.time, epoch = excluded.epoch, metrics = excluded.metrics
 WHERE job_metric.epoch <= excluded.epoch;
