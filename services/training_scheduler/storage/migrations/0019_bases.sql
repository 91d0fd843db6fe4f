-- The base that a job trains on, as its plan says: a worker that has it in memory need not load it. '' before validation.
ALTER TABLE job ADD COLUMN base_digest text NOT NULL DEFAULT '', ALTER COLUMN base_digest SET STORAGE MAIN;
UPDATE job SET base_digest = COALESCE(plan->'inputs'->>'base_digest', '') WHERE finish_time IS NULL;
-- Digests of the bases that the worker had in memory when it last asked for work.
ALTER TABLE worker ADD COLUMN bases text[] NOT NULL DEFAULT '{}';

-- What a claim has taken by rank, looked at again because some claimants have bases in memory. `bases` are the claimants', a list
-- with commas for each. `places` are the claimants in the order of `jobs`; those behind them get none.
--
-- A job goes to a claimant that has its base, if one has. Where a claimant would get another base than it has, the last job of the
-- project that nobody has the base of gives way to one with that base: the first among the next 32 that fit and rank at most 60 s
-- after it. So a job is passed over only by jobs that were ready within a minute of it, as urgent as it is (a point of priority is
-- 10 minutes of rank): what comes later is behind it.
CREATE FUNCTION prefer_bases(taken uuid[], bases text[], kinds text[], queues text[], device text, memory bigint,
                             OUT jobs uuid[], OUT places integer[]) LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  needs    text[];             -- the jobs' bases
  projects text[];
  ranks    timestamptz[];
  warm     boolean[] := '{}';  -- the job's claimant has its base
  held     text[];             -- bases of one claimant
  near     uuid[];
  claimant integer;
  place    integer;
  other    uuid;
  need     text;
BEGIN
  jobs := taken;
  places := ARRAY(SELECT generate_subscripts(bases, 1));
  SELECT array_agg(j.base_digest ORDER BY t.nth), array_agg(j.project ORDER BY t.nth), array_agg(j.rank_time ORDER BY t.nth)
    INTO needs, projects, ranks
    FROM unnest(taken) WITH ORDINALITY AS t (id, nth) JOIN job j ON j.id = t.id;
  FOR i IN 1 .. cardinality(jobs) LOOP
    warm[i] := needs[i] = ANY (string_to_array(bases[i], ','));
  END LOOP;

  FOR i IN 1 .. cardinality(jobs) LOOP
    CONTINUE WHEN warm[i];
    SELECT p INTO place FROM generate_subscripts(places, 1) AS p
     WHERE (p > cardinality(jobs) OR NOT warm[p]) AND needs[i] = ANY (string_to_array(bases[places[p]], ','))
     ORDER BY p LIMIT 1;
    CONTINUE WHEN place IS NULL;
    claimant := places[place];
    places[place] := places[i];
    places[i] := claimant;
    warm[i] := true;
    IF place <= cardinality(jobs) THEN
      warm[place] := needs[place] = ANY (string_to_array(bases[places[place]], ','));
    END IF;
  END LOOP;

  -- From the last on: whoever moves to an earlier place has been looked at.
  FOR i IN REVERSE cardinality(jobs) .. 1 LOOP
    claimant := places[i];
    held := string_to_array(bases[claimant], ',');
    CONTINUE WHEN warm[i] OR held = '{}';
    SELECT max(p) INTO place FROM generate_subscripts(jobs, 1) AS p WHERE projects[p] = projects[i] AND NOT warm[p];
    near := ARRAY(
      SELECT n.id FROM (
        SELECT j.id, j.base_digest FROM job j
         WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project = projects[i]
           AND (j.rank_time, j.id) > (ranks[place], jobs[place]) AND j.rank_time <= ranks[place] + interval '60 seconds'
           AND (kinds = '{}' OR j.kind = ANY (kinds)) AND (queues = '{}' OR j.queue = ANY (queues))
           AND (device = '' OR j.need_device IN ('', device)) AND (memory = 0 OR j.need_memory <= memory)
           AND j.id <> ALL (jobs)
         ORDER BY j.rank_time, j.id LIMIT 32) n
       WHERE n.base_digest = ANY (held));
    CONTINUE WHEN near = '{}';
    SELECT j.id, j.base_digest INTO other, need FROM job j
     WHERE j.id = ANY (near) AND j.state = 'QUEUED' ORDER BY j.rank_time, j.id FOR NO KEY UPDATE SKIP LOCKED LIMIT 1;
    CONTINUE WHEN other IS NULL;
    places[i] := places[place];
    warm[i] := needs[i] = ANY (string_to_array(bases[places[i]], ','));
    places[place] := claimant;
    jobs[place] := other;
    needs[place] := need;
    warm[place] := true;
  END LOOP;
END
$$;

-- As in 0017, but a job goes rather to who has its base.
DROP FUNCTION claim_jobs;
CREATE FUNCTION claim_jobs(workers text[], incarnations text[], hashes text[], seconds float8, kinds text[], queues text[],
                           only_project text, device text, memory bigint, bases text[]) RETURNS SETOF job_row LANGUAGE plpgsql
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
  places   integer[];      -- claimants, in the order of the jobs taken
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

  IF array_to_string(bases, '') <> '' THEN
    SELECT p.jobs, p.places INTO taken, places FROM prefer_bases(taken, bases, kinds, queues, device, memory) p;
    workers := ARRAY(SELECT workers[t.place] FROM unnest(places) WITH ORDINALITY AS t (place, i) ORDER BY t.i);
    incarnations := ARRAY(SELECT incarnations[t.place] FROM unnest(places) WITH ORDINALITY AS t (place, i) ORDER BY t.i);
    hashes := ARRAY(SELECT hashes[t.place] FROM unnest(places) WITH ORDINALITY AS t (place, i) ORDER BY t.i);
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
