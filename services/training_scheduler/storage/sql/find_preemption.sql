-- $1 seconds that the urgent job has been ready at least, $2 points of priority between the two. Of many urgent jobs the first
-- hundred in line are looked at.
SELECT u.id::text AS urgent, r.id::text AS running
  FROM (SELECT id, kind, queue, priority, need_device, need_memory, ready_time, rank_time
          FROM job WHERE state = 'QUEUED' AND priority > 0 ORDER BY rank_time, id LIMIT 100) u
  JOIN job r ON r.state = 'RUNNING' AND r.priority + $2 <= u.priority
  JOIN worker w ON w.name = r.lease_worker
   AND (w.kinds = '{}' OR u.kind = ANY (w.kinds)) AND (w.queues = '{}' OR u.queue = ANY (w.queues))
   AND (w.device = '' OR u.need_device IN ('', w.device)) AND (w.memory_bytes = 0 OR u.need_memory <= w.memory_bytes)
 WHERE u.ready_time <= clock_timestamp() - make_interval(secs => $1)
   AND NOT EXISTS (SELECT 1 FROM job WHERE state = 'RUNNING' AND lease_release)
 ORDER BY u.rank_time, u.id, r.priority, r.lease_grant_time DESC
 LIMIT 1;
