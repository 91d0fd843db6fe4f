-- As in 0017, but a job's row may be said to be of a version: of the transaction that wrote it (its xmin). Then it is written only
-- if it is so still, and nothing is if one is not. Whoever knows a row writes it so without locking and reading it first.
DROP FUNCTION write_jobs;
CREATE FUNCTION write_jobs(
  ids uuid[], reports json[], states text[], reasons text[], epochs bigint[], failures integer[], losses integer[],
  checkpoint_steps bigint[], steps_at_loss bigint[], checkpoint_digests text[], workers text[],
  lease_hashes text[], lease_workers text[], lease_incarnations text[], lease_grants bigint[], lease_expiries bigint[],
  lease_seqs bigint[], update_times bigint[], start_times bigint[], run_times bigint[], ready_times bigint[],
  finish_times bigint[], rank_times bigint[], last_sequences bigint[], revisions bigint[], lease_releases boolean[],
  lease_gangs jsonb[], rendezvous text[], versions xid[],
  event_jobs uuid[], sequences bigint[], event_times bigint[], levels text[], types text[], messages text[], datas text[],
  event_epochs bigint[], worker_seqs bigint[],
  ended_projects text[], ended_jobs uuid[], ended_types text[], ended_times bigint[],
  projects text[], changes integer[], notify boolean) RETURNS void LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  written integer;
BEGIN
  UPDATE job j
     SET report = v.report, state = v.state, state_reason = v.state_reason,
         lease_epoch = v.lease_epoch, failure_count = v.failure_count, lease_loss_count = v.lease_loss_count,
         last_checkpoint_step = v.last_checkpoint_step, checkpoint_step_at_loss = v.checkpoint_step_at_loss,
         last_checkpoint_digest = v.last_checkpoint_digest, worker = v.worker,
         lease_token_hash = v.lease_token_hash, lease_worker = v.lease_worker, lease_incarnation = v.lease_incarnation,
         lease_grant_time = to_timestamp(v.lease_grant / 1e6::float8),
         lease_expire_time = to_timestamp(v.lease_expire / 1e6::float8), lease_worker_seq = v.lease_worker_seq,
         update_time = to_timestamp(v.update_us / 1e6::float8), start_time = to_timestamp(v.start_us / 1e6::float8),
         run_time = to_timestamp(v.run_us / 1e6::float8), ready_time = to_timestamp(v.ready_us / 1e6::float8),
         finish_time = to_timestamp(v.finish_us / 1e6::float8), rank_time = to_timestamp(v.rank_us / 1e6::float8),
         last_event_sequence = v.last_event_sequence, revision = v.revision, lease_release = v.lease_release,
         lease_gang = v.lease_gang, lease_rendezvous = v.lease_rendezvous
    FROM unnest(ids, reports, states, reasons, epochs, failures, losses, checkpoint_steps, steps_at_loss, checkpoint_digests,
                workers, lease_hashes, lease_workers, lease_incarnations, lease_grants, lease_expiries, lease_seqs,
                update_times, start_times, run_times, ready_times, finish_times, rank_times, last_sequences, revisions,
                lease_releases, lease_gangs, rendezvous, versions)
      AS v (id, report, state, state_reason, lease_epoch, failure_count, lease_loss_count, last_checkpoint_step,
            checkpoint_step_at_loss, last_checkpoint_digest, worker, lease_token_hash, lease_worker, lease_incarnation,
            lease_grant, lease_expire, lease_worker_seq, update_us, start_us, run_us, ready_us, finish_us, rank_us,
            last_event_sequence, revision, lease_release, lease_gang, lease_rendezvous,
            version)
   WHERE j.id = v.id AND (v.version IS NULL OR j.xmin = v.version);
  GET DIAGNOSTICS written = ROW_COUNT;
  IF written < cardinality(ids) THEN
    RAISE EXCEPTION 'a job was written by another' USING ERRCODE = 'CR001';
  END IF;
  IF cardinality(ended_jobs) > 0 THEN
    -- One delivery for every endpoint that wants the event. Their ids are UUIDv7 (RFC 9562 section 5.7), which Postgres 15 does not
    -- make by itself: the milliseconds over the first 48 of 122 random bits, version 7.
    INSERT INTO webhook_delivery (id, endpoint_id, project, job_id, event_type, state, next_time, create_time, update_time)
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send(v.ended_us / 1000) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid,
           e.id, e.project, v.job_id, v.event_type, 'PENDING', to_timestamp(v.ended_us / 1e6::float8),
           to_timestamp(v.ended_us / 1e6::float8), to_timestamp(v.ended_us / 1e6::float8)
      FROM unnest(ended_projects, ended_jobs, ended_types, ended_times) AS v (project, job_id, event_type, ended_us)
      JOIN webhook_endpoint e ON e.project = v.project
     WHERE NOT e.disabled AND (e.event_types = '{}' OR v.event_type = ANY (e.event_types));
  END IF;
  IF cardinality(event_jobs) > 0 THEN
    INSERT INTO job_event (job_id, sequence, time, level, type, message, data, epoch, worker_seq)
    SELECT v.job_id, v.sequence, to_timestamp(v.us / 1e6::float8), v.level, v.type, v.message, v.data, v.epoch,
           NULLIF(v.worker_seq, 0)
      FROM unnest(event_jobs, sequences, event_times, levels, types, messages, datas, event_epochs, worker_seqs)
        AS v (job_id, sequence, us, level, type, message, data, epoch, worker_seq);
  END IF;
  IF notify THEN
    PERFORM pg_notify('crossover_job', '');
  END IF;
  -- Last: every transaction of the project needs this row. Where there are less, the row is there.
  IF cardinality(projects) > 0 THEN
    WITH v AS (
      SELECT project, change FROM unnest(projects, changes) AS v (project, change)
    ), u AS (
      UPDATE project_share s SET leased = s.leased + v.change FROM v WHERE s.project = v.project RETURNING s.project
    )
    INSERT INTO project_share AS s (project, leased)
    SELECT v.project, v.change FROM v WHERE v.change > 0 AND v.project NOT IN (SELECT u.project FROM u) ORDER BY v.project
    ON CONFLICT (project) DO UPDATE SET leased = s.leased + excluded.leased;
  END IF;
END
$$;
