-- $1 seconds that the urgent job has been ready at least, $2 points of priority between the two.
--
-- A place is taken only for the job that a claim would then give it to, or its holder would stop for nothing, again and again: the
-- turns of the projects, their quotas and what the worker may have are looked at as claim_jobs (migrations/0019) does, with the
-- holder's lease counted as given back. A gang is served last, from workers that are idle at once, so none takes places.
WITH RECURSIVE waiting (project) AS (
  (SELECT project FROM job WHERE state = 'QUEUED' AND gang_size = 1 ORDER BY project LIMIT 1)
  UNION ALL
  SELECT (SELECT j.project FROM job j
           WHERE j.state = 'QUEUED' AND j.gang_size = 1 AND j.project > waiting.project ORDER BY j.project LIMIT 1)
    FROM waiting WHERE waiting.project IS NOT NULL
), share AS MATERIALIZED (
  SELECT n.project, COALESCE(s.leased, 0) AS leased, s.max_leased
    FROM waiting n LEFT JOIN project_share s ON s.project = n.project WHERE n.project IS NOT NULL
)
SELECT u.id::text AS urgent, r.id::text AS running
  FROM (-- Of those in whose places the same job would come, the one to stop.
        SELECT DISTINCT ON (j.project, j.gang_size, w.kinds, w.queues, w.device, w.memory_bytes, COALESCE(w.only_project, ''))
               j.id, j.project, j.priority, j.gang_size, j.lease_grant_time, h.leased, w.kinds, w.queues, w.device, w.memory_bytes,
               COALESCE(w.only_project, '') AS only_project
          FROM job j
          JOIN worker w ON w.name = j.lease_worker
          JOIN project_share h ON h.project = j.project
         WHERE j.state = 'RUNNING'
           AND j.priority + $2 <= (SELECT max(priority) FROM job
                                    WHERE state = 'QUEUED' AND gang_size = 1 AND priority > 0
                                      AND ready_time <= clock_timestamp() - make_interval(secs => $1))
           AND NOT EXISTS (SELECT 1 FROM job WHERE state = 'RUNNING' AND lease_release)
         ORDER BY j.project, j.gang_size, w.kinds, w.queues, w.device, w.memory_bytes, COALESCE(w.only_project, ''),
                  j.priority, j.lease_grant_time DESC) r
 CROSS JOIN LATERAL (
   SELECT f.id, f.priority, f.ready_time, f.rank_time, share.project, share.leased
     FROM share CROSS JOIN LATERAL (
       SELECT q.id, q.priority, q.ready_time, q.rank_time FROM job q
        WHERE q.state = 'QUEUED' AND q.gang_size = 1 AND q.project = share.project
          AND (r.kinds = '{}' OR q.kind = ANY (r.kinds)) AND (r.queues = '{}' OR q.queue = ANY (r.queues))
          AND (r.device = '' OR q.need_device IN ('', r.device)) AND (r.memory_bytes = 0 OR q.need_memory <= r.memory_bytes)
        ORDER BY q.rank_time, q.id LIMIT 1) f
    WHERE r.only_project IN ('', share.project)
      AND (share.max_leased IS NULL
           OR share.leased - CASE WHEN share.project = r.project THEN r.gang_size ELSE 0 END < share.max_leased)
    ORDER BY share.leased - CASE WHEN share.project = r.project THEN r.gang_size ELSE 0 END, f.rank_time, f.id
    LIMIT 1) u
 WHERE u.priority > 0 AND r.priority + $2 <= u.priority AND u.ready_time <= clock_timestamp() - make_interval(secs => $1)
   -- The holder itself is then in line too, ready since now: behind whoever has the same turn.
   AND (u.project = r.project OR r.gang_size > 1 OR u.leased < r.leased)
 ORDER BY u.rank_time, u.id, r.priority, r.lease_grant_time DESC
 LIMIT 1;
