UPDATE job
   SET display_name = $2, labels = $3::jsonb, base_model = $4, priority = $5, queue = $6,
       start_time = NULLIF($7, '')::timestamptz, deadline = NULLIF($8, '')::timestamptz,
       plan = $9::jsonb, report = $10::jsonb, state = $11, state_reason = $12,
       lease_epoch = $13, failure_count = $14, lease_loss_count = $15,
       last_checkpoint_step = $16, checkpoint_step_at_loss = $17, last_checkpoint_digest = $18, worker = $19,
       lease_token_hash = NULLIF($20, ''), lease_worker = NULLIF($21, ''), lease_incarnation = NULLIF($22, ''),
       lease_grant_time = NULLIF($23, '')::timestamptz, lease_expire_time = NULLIF($24, '')::timestamptz,
       lease_worker_seq = NULLIF($25, '')::bigint,
       update_time = $26::timestamptz, run_time = NULLIF($27, '')::timestamptz, ready_time = NULLIF($28, '')::timestamptz,
       finish_time = NULLIF($29, '')::timestamptz, rank_time = $30::timestamptz,
       last_event_sequence = $31, revision = $32
 WHERE id = $1::uuid;
