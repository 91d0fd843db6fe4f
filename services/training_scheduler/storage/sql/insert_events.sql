-- One array a column, one element an event.
INSERT INTO job_event (job_id, sequence, time, level, type, message, data, epoch, worker_seq)
SELECT job_id, sequence, time, level, type, message, data, epoch, NULLIF(worker_seq, 0)
  FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
              $9::bigint[])
    AS v (job_id, sequence, time, level, type, message, data, epoch, worker_seq);
