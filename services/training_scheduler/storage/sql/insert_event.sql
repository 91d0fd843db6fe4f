INSERT INTO job_event (job_id, sequence, time, level, type, message, data, epoch, worker_seq)
VALUES ($1::uuid, $2, $3::timestamptz, $4, $5, $6, $7, $8, NULLIF($9::bigint, 0));
