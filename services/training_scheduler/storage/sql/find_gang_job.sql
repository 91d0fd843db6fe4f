-- $1 workers that wait, $2 kinds, $3 queues, $4 project (empty = all), $5 device, $6 bytes of memory (empty, 0 = not known). The
-- first job in rank that so many workers may share, locked.
SELECT id::text AS id FROM job j
 WHERE state = 'QUEUED' AND gang_size > 1 AND gang_size <= $1
   AND ($2::text[] = '{}' OR kind = ANY ($2::text[]))
   AND ($3::text[] = '{}' OR queue = ANY ($3::text[]))
   AND ($4::text = '' OR project = $4)
   AND ($5::text = '' OR need_device IN ('', $5))
   AND ($6::bigint = 0 OR need_memory <= $6)
   AND NOT EXISTS (SELECT 1 FROM project_share h WHERE h.project = j.project AND h.leased + j.gang_size > h.max_leased)
 ORDER BY rank_time, id
   FOR NO KEY UPDATE OF j SKIP LOCKED
 LIMIT 1;
