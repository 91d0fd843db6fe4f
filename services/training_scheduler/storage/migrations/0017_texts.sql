-- What is read and written as a whole is text: to print a plan from its binary form took longer than all else of a claim. (This
-- writes the table anew: about a minute for a million jobs.)
DROP FUNCTION claim_jobs;
DROP VIEW job_row;

-- Of a row that is too long only spec and plan are put beside it. Short texts that went there with them cost a row of another
-- table and of its index with each claim. One statement, so that what it writes anew already lies so: it sets all types before any
-- storage (a new type would undo it), and rewrites after both.
ALTER TABLE job
  SET (toast_tuple_target = 1280),
  ALTER COLUMN spec TYPE json, ALTER COLUMN plan TYPE json, ALTER COLUMN report TYPE json,
  ALTER COLUMN report SET STORAGE MAIN, ALTER COLUMN dataset_version SET STORAGE MAIN, ALTER COLUMN state_reason SET STORAGE MAIN,
  ALTER COLUMN last_checkpoint_digest SET STORAGE MAIN, ALTER COLUMN worker SET STORAGE MAIN,
  ALTER COLUMN lease_token_hash SET STORAGE MAIN, ALTER COLUMN lease_worker SET STORAGE MAIN,
  ALTER COLUMN lease_incarnation SET STORAGE MAIN;

-- As before, but times come from floating point, which holds microseconds until 2106, instead of from decimals.
CREATE VIEW job_row AS
SELECT id AS key, id::text AS id, project, display_name, labels::text AS labels, kind, task, base_model, dataset_version,
       priority, queue, array_to_string(depends_on, ',') AS depends_on, max_failures,
       spec::text AS spec, plan::text AS plan, report::text AS report,
       state, state_reason, lease_epoch, failure_count, lease_loss_count,
       last_checkpoint_step, checkpoint_step_at_loss, last_checkpoint_digest, worker,
       lease_token_hash, lease_worker, lease_incarnation, lease_worker_seq,
       (date_part('epoch', start_time) * 1000000)::bigint AS start_us,
       (date_part('epoch', deadline) * 1000000)::bigint AS deadline_us,
       (date_part('epoch', lease_grant_time) * 1000000)::bigint AS lease_grant_us,
       (date_part('epoch', lease_expire_time) * 1000000)::bigint AS lease_expire_us,
       (date_part('epoch', create_time) * 1000000)::bigint AS create_us,
       (date_part('epoch', update_time) * 1000000)::bigint AS update_us,
       (date_part('epoch', run_time) * 1000000)::bigint AS run_us,
       (date_part('epoch', ready_time) * 1000000)::bigint AS ready_us,
       (date_part('epoch', finish_time) * 1000000)::bigint AS finish_us,
       last_event_sequence, revision, rank_time,
       need_device, required_memory, need_memory, lease_release, gang_size, lease_gang::text AS lease_gang, lease_rendezvous
  FROM job;

-- As in 0016, but the projects' counters come last.
CREATE FUNCTION claim_jobs(workers text[], incarnations text[], hashes text[], seconds float8, kinds text[], queues text[],
                           only_project text, device text, memory bigint) RETURNS SETOF job_row LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  wanted   integer := cardinality(hashes);
  taken    uuid[] := '{}';
  projects text[] := '{}';
  turns    integer[] := '{}';  -- leases that the project would hold with its next job
  limits   integer[] := '{}';  -- of those; NULL = none
  heads    uuid[] := '{}';     -- the next job of each project, locked; NULL = none
  ranks    timestamptz[] := '{}';
  name     text;
  held     integer;
  most     integer;
  head     uuid;
  rank     timestamptz;
  best     integer;
  granted  timestamptz;
BEGIN
  -- Of two that claim at once, the second sees what the first has taken.
  PERFORM 1 FROM project_share WHERE max_leased IS NOT NULL ORDER BY project FOR NO KEY UPDATE;
  SELECT j.project INTO name FROM job j
   WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project >= only_project ORDER BY j.project LIMIT 1;
  WHILE name IS NOT NULL AND (only_project = '' OR name = only_project) LOOP
    SELECT s.leased, s.max_leased INTO held, most FROM project_share s WHERE s.project = name;
    IF most IS NULL OR COALESCE(held, 0) < most THEN
      projects := projects || name;
      turns := turns || COALESCE(held, 0) + 1;
      limits := limits || most;
    END IF;
    SELECT j.project INTO name FROM job j
     WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project > name ORDER BY j.project LIMIT 1;
  END LOOP;

  IF cardinality(projects) = 1 THEN
    taken := ARRAY(
      SELECT j.id FROM job j
       WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project = projects[1]
         AND (kinds = '{}' OR j.kind = ANY (kinds)) AND (queues = '{}' OR j.queue = ANY (queues))
         AND (device = '' OR j.need_device IN ('', device)) AND (memory = 0 OR j.need_memory <= memory)
       ORDER BY j.rank_time, j.id
         FOR NO KEY UPDATE SKIP LOCKED
       LIMIT LEAST(wanted, limits[1] - turns[1] + 1));
  ELSE
    FOR i IN 1 .. cardinality(projects) LOOP
      SELECT j.id, j.rank_time INTO head, rank FROM job j
       WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project = projects[i]
         AND (kinds = '{}' OR j.kind = ANY (kinds)) AND (queues = '{}' OR j.queue = ANY (queues))
         AND (device = '' OR j.need_device IN ('', device)) AND (memory = 0 OR j.need_memory <= memory)
       ORDER BY j.rank_time, j.id FOR NO KEY UPDATE SKIP LOCKED LIMIT 1;
      heads[i] := head;
      ranks[i] := rank;
    END LOOP;
    WHILE cardinality(taken) < wanted LOOP
      SELECT i INTO best FROM generate_subscripts(heads, 1) AS i
       WHERE heads[i] IS NOT NULL AND (limits[i] IS NULL OR turns[i] <= limits[i])
       ORDER BY turns[i], ranks[i], heads[i] LIMIT 1;
      EXIT WHEN best IS NULL;
      taken := taken || heads[best];
      turns[best] := turns[best] + 1;
      SELECT j.id, j.rank_time INTO head, rank FROM job j
       WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project = projects[best]
         AND (j.rank_time, j.id) > (ranks[best], heads[best])
         AND (kinds = '{}' OR j.kind = ANY (kinds)) AND (queues = '{}' OR j.queue = ANY (queues))
         AND (device = '' OR j.need_device IN ('', device)) AND (memory = 0 OR j.need_memory <= memory)
       ORDER BY j.rank_time, j.id FOR NO KEY UPDATE SKIP LOCKED LIMIT 1;
      heads[best] := head;
      ranks[best] := rank;
    END LOOP;
  END IF;
  IF cardinality(taken) = 0 THEN
    RETURN;
  END IF;

  granted := clock_timestamp();
  WITH u AS (
    UPDATE job j
       SET state = 'RUNNING', state_reason = 'leased to ' || t.worker, lease_epoch = j.lease_epoch + 1, worker = t.worker,
           lease_token_hash = t.hash, lease_worker = t.worker, lease_incarnation = t.incarnation,
           lease_grant_time = granted, lease_expire_time = granted + make_interval(secs => seconds),
           lease_worker_seq = 0, lease_release = false,
           run_time = COALESCE(j.run_time, granted), update_time = granted,
           last_event_sequence = j.last_event_sequence + 1, revision = j.revision + 1
      FROM unnest(taken, workers, incarnations, hashes) AS t (id, worker, incarnation, hash) WHERE j.id = t.id
    RETURNING j.id, j.worker, j.last_event_sequence, j.lease_epoch, j.last_checkpoint_step
  ), m AS (
    DELETE FROM job_metric d USING u WHERE d.job_id = u.id AND d.step > u.last_checkpoint_step
  )
  INSERT INTO job_event (job_id, sequence, time, level, type, message, data, epoch)
  SELECT u.id, u.last_event_sequence, granted, 'INFO', 'LEASED', 'leased to ' || u.worker,
         '{"from":"QUEUED","to":"RUNNING"}', u.lease_epoch
    FROM u;
  RETURN QUERY SELECT r.* FROM job_row r WHERE r.key = ANY (taken) ORDER BY r.rank_time, r.key;
  -- Last: every transaction of the project needs this row.
  INSERT INTO project_share AS s (project, leased)
  SELECT j.project, count(*) FROM job j WHERE j.id = ANY (taken) GROUP BY j.project ORDER BY j.project
  ON CONFLICT (project) DO UPDATE SET leased = s.leased + excluded.leased;
END
$$;

-- Takes the jobs' row locks, in the order of their ids so that two batches cannot wait for each other, and reads the jobs as they
-- then are (a row that has changed while it was waited for is read anew). spec and plan are NULL but of `whole`: they never change
-- after validation, and who has read them once need not do so again.
CREATE FUNCTION lock_jobs(ids uuid[], whole uuid[]) RETURNS SETOF job_row LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  RETURN QUERY
  SELECT r.key, r.id, r.project, r.display_name, r.labels, r.kind, r.task, r.base_model, r.dataset_version,
         r.priority, r.queue, r.depends_on, r.max_failures,
         CASE WHEN r.key = ANY (whole) THEN r.spec END, CASE WHEN r.key = ANY (whole) THEN r.plan END, r.report,
         r.state, r.state_reason, r.lease_epoch, r.failure_count, r.lease_loss_count,
         r.last_checkpoint_step, r.checkpoint_step_at_loss, r.last_checkpoint_digest, r.worker,
         r.lease_token_hash, r.lease_worker, r.lease_incarnation, r.lease_worker_seq,
         r.start_us, r.deadline_us, r.lease_grant_us, r.lease_expire_us, r.create_us, r.update_us, r.run_us, r.ready_us,
         r.finish_us, r.last_event_sequence, r.revision, r.rank_time,
         r.need_device, r.required_memory, r.need_memory, r.lease_release, r.gang_size, r.lease_gang, r.lease_rendezvous
    FROM job_row r WHERE r.key = ANY (ids) ORDER BY r.key FOR NO KEY UPDATE;
END
$$;

-- Writes where jobs are and what has happened to them: of jobs, events and ends one array a column, one element a row. Times are
-- microseconds since 1970. `projects` hold `changes` leases more (less: negative).
CREATE FUNCTION write_jobs(
  ids uuid[], reports json[], states text[], reasons text[], epochs bigint[], failures integer[], losses integer[],
  checkpoint_steps bigint[], steps_at_loss bigint[], checkpoint_digests text[], workers text[],
  lease_hashes text[], lease_workers text[], lease_incarnations text[], lease_grants bigint[], lease_expiries bigint[],
  lease_seqs bigint[], update_times bigint[], start_times bigint[], run_times bigint[], ready_times bigint[],
  finish_times bigint[], rank_times bigint[], last_sequences bigint[], revisions bigint[], lease_releases boolean[],
  lease_gangs jsonb[], rendezvous text[],
  event_jobs uuid[], sequences bigint[], event_times bigint[], levels text[], types text[], messages text[], datas text[],
  event_epochs bigint[], worker_seqs bigint[],
  ended_projects text[], ended_jobs uuid[], ended_types text[], ended_times bigint[],
  projects text[], changes integer[], notify boolean) RETURNS void LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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
                lease_releases, lease_gangs, rendezvous)
      AS v (id, report, state, state_reason, lease_epoch, failure_count, lease_loss_count, last_checkpoint_step,
            checkpoint_step_at_loss, last_checkpoint_digest, worker, lease_token_hash, lease_worker, lease_incarnation,
            lease_grant, lease_expire, lease_worker_seq, update_us, start_us, run_us, ready_us, finish_us, rank_us,
            last_event_sequence, revision, lease_release, lease_gang, lease_rendezvous)
   WHERE j.id = v.id;
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

-- Events are written by the two functions above only, under the row lock of the job that they update; to look the job up again for
-- each event took longer than to write it. They go with their job, as before.
ALTER TABLE job_event DROP CONSTRAINT job_event_job_id_fkey;
CREATE FUNCTION forget_events() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM job_event e USING gone WHERE e.job_id = gone.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER events_go_with_their_job AFTER DELETE ON job
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_events();
