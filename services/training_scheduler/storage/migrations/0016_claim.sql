-- What stays as it is (spec, plan) lies beside the row, so that a claim, a beat or an end rewrites some hundred bytes instead of
-- thousands; what changes with every beat stays in it.
ALTER TABLE job ALTER COLUMN report SET STORAGE MAIN;
ALTER TABLE job ALTER COLUMN labels SET STORAGE MAIN;
ALTER TABLE job SET (toast_tuple_target = 512);

-- Only what workers say can be said twice.
ALTER TABLE job_event DROP CONSTRAINT a_worker_says_everything_once;
CREATE UNIQUE INDEX a_worker_says_everything_once ON job_event (job_id, epoch, worker_seq) WHERE worker_seq IS NOT NULL;

-- Leases up to cardinality(hashes) QUEUED jobs; empty arrays and texts and 0 = all. Of one project the first in rank goes first;
-- of several the job whose project would hold the fewest leases with it, then the first in rank. Nothing above a quota.
--
-- A function, because planning this took three times as long as running it: here plans are made once a connection. They are
-- generic, so the planner does not know how few rows are wanted; its other ways are closed to it.
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
  INSERT INTO project_share AS s (project, leased)
  SELECT j.project, count(*) FROM job j WHERE j.id = ANY (taken) GROUP BY j.project ORDER BY j.project
  ON CONFLICT (project) DO UPDATE SET leased = s.leased + excluded.leased;
  RETURN QUERY SELECT r.* FROM job_row r WHERE r.key = ANY (taken) ORDER BY r.rank_time, r.key;
END
$$;
