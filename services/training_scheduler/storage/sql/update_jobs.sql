-- Where jobs are: one array a column, one element a job. '' = NULL where a column may be NULL.
UPDATE job j
   SET report = v.report::jsonb, state = v.state, state_reason = v.state_reason,
       lease_epoch = v.lease_epoch, failure_count = v.failure_count, lease_loss_count = v.lease_loss_count,
       last_checkpoint_step = v.last_checkpoint_step, checkpoint_step_at_loss = v.checkpoint_step_at_loss,
       last_checkpoint_digest = v.last_checkpoint_digest, worker = v.worker,
       lease_token_hash = NULLIF(v.lease_token_hash, ''), lease_worker = NULLIF(v.lease_worker, ''),
       lease_incarnation = NULLIF(v.lease_incarnation, ''),
       lease_grant_time = NULLIF(v.lease_grant_time, '')::timestamptz,
       lease_expire_time = NULLIF(v.lease_expire_time, '')::timestamptz,
       lease_worker_seq = NULLIF(v.lease_worker_seq, '')::bigint,
       update_time = v.update_time::timestamptz, start_time = NULLIF(v.start_time, '')::timestamptz,
       run_time = NULLIF(v.run_time, '')::timestamptz, ready_time = NULLIF(v.ready_time, '')::timestamptz,
       finish_time = NULLIF(v.finish_time, '')::timestamptz, rank_time = v.rank_time::timestamptz,
       last_event_sequence = v.last_event_sequence, revision = v.revision, lease_release = v.lease_release,
       lease_gang = NULLIF(v.lease_gang, '')::jsonb, lease_rendezvous = v.lease_rendezvous
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::integer[], $7::integer[], $8::bigint[],
              $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
              $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::bigint[],
              $25::bigint[], $26::boolean[], $27::text[], $28::text[])
    AS v (id, report, state, state_reason, lease_epoch, failure_count, lease_loss_count, last_checkpoint_step,
          checkpoint_step_at_loss, last_checkpoint_digest, worker, lease_token_hash, lease_worker, lease_incarnation,
          lease_grant_time, lease_expire_time, lease_worker_seq, update_time, start_time, run_time, ready_time, finish_time,
          rank_time, last_event_sequence, revision, lease_release, lease_gang, lease_rendezvous)
 WHERE j.id = v.id;
