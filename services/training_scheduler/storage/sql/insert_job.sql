-- $1 … as listed. No row: the request_id was used before.
INSERT INTO job (id, project, request_id, payload_hash, display_name, labels, kind, task, base_model, dataset_version,
                 priority, queue, start_time, deadline, depends_on, max_failures, spec, plan, report, state, state_reason,
                 lease_epoch, failure_count, lease_loss_count, last_checkpoint_step, checkpoint_step_at_loss,
                 last_checkpoint_digest, worker, need_device, required_memory, need_memory, gang_size, create_time, update_time, rank_time, last_event_sequence, revision)
VALUES ($1::uuid, $2, NULLIF($3, ''), NULLIF($4, ''), $5, $6::jsonb, $7, $8, $9, $10,
        $11, $12, NULLIF($13, '')::timestamptz, NULLIF($14, '')::timestamptz, $15::uuid[], $16, $17::json, '{}', '{}', 'VALIDATING', '',
        0, 0, 0, 0, 0, '', '', $18, $19, $19, $20, clock_timestamp(), clock_timestamp(), clock_timestamp(), 0, 0)
ON CONFLICT (project, request_id) WHERE request_id IS NOT NULL DO NOTHING
RETURNING id;
