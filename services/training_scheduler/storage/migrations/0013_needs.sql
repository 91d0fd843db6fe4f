-- What a job needs of the worker that may have it.
ALTER TABLE job
  ADD COLUMN need_device     text NOT NULL DEFAULT '' CHECK (need_device IN ('', 'cpu', 'cuda')),  -- '' = any
  ADD COLUMN required_memory bigint NOT NULL DEFAULT 0 CHECK (required_memory >= 0),  -- bytes, as asked for; 0 = not asked
  -- What claims compare: as asked for, else as estimated; 0 = not known. Set by validation.
  ADD COLUMN need_memory     bigint NOT NULL DEFAULT 0 CHECK (need_memory >= required_memory),
  ADD COLUMN gang_size       integer NOT NULL DEFAULT 1 CHECK (gang_size BETWEEN 1 AND 64),  -- workers that share it
  -- [{rank, worker, incarnation, token_hash, expire_us}] of all ranks, while it is leased; NULL for one worker alone.
  ADD COLUMN lease_gang      jsonb
    CONSTRAINT a_gang_is_leased_whole_or_not_at_all CHECK (
      (lease_gang IS NOT NULL) = (gang_size > 1 AND lease_token_hash IS NOT NULL)
      AND (lease_gang IS NULL OR jsonb_array_length(lease_gang) = gang_size)),
  ADD COLUMN lease_rendezvous text NOT NULL DEFAULT '',  -- host:port where rank 0 awaits the others
  -- Its holder is asked to write a checkpoint and give the lease back: a more urgent job waits.
  ADD COLUMN lease_release   boolean NOT NULL DEFAULT false
    CONSTRAINT only_a_running_job_is_asked_to_release CHECK (NOT lease_release OR state = 'RUNNING');
ALTER TABLE worker ADD COLUMN gang integer NOT NULL DEFAULT 0;  -- most workers that it trains together with

CREATE OR REPLACE VIEW job_row AS
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
       last_event_sequence, revision, rank_time,
       need_device, required_memory, need_memory, lease_release, gang_size, lease_gang::text AS lease_gang, lease_rendezvous
  FROM job;
