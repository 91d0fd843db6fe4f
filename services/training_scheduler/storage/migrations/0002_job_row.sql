-- A job as the store reads it: times as microseconds since 1970, ids and arrays as text.
CREATE VIEW job_row AS
SELECT id AS key, id::text AS id, project, display_name, labels::text AS labels, kind, task, base_model, dataset_version,
       priority, queue, array_to_string(depends_on, ',') AS depends_on, max_failures,
       spec::text AS spec, plan::text AS plan, report::text AS report,
       state, state_reason, lease_epoch, failure_count, lease_loss_count,
       last_checkpoint_step, checkpoint_step_at_loss, last_checkpoint_digest, worker,
       lease_token_hash, lease_worker, lease_incarnation, lease_worker_seq,
       (extract(epoch FROM start_time) * 1000000)::bigint AS start_us,
       (extract(epoch FROM deadline) * 1000000)::bigint AS deadline_us,
       (extract(epoch FROM lease_grant_time) * 1000000)::bigint AS lease_grant_us,
       (extract(epoch FROM lease_expire_time) * 1000000)::bigint AS lease_expire_us,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM run_time) * 1000000)::bigint AS run_us,
       (extract(epoch FROM ready_time) * 1000000)::bigint AS ready_us,
       (extract(epoch FROM finish_time) * 1000000)::bigint AS finish_us,
       last_event_sequence, revision, rank_time
  FROM job;
