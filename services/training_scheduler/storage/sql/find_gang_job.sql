-- $1 by the number of workers: the most memory that a job which they share may need (-1: no such job), $2 kinds, $3 queues,
-- $4 project (empty = all), $5 device (empty = not known), $6 as $1, of jobs that ask for float32. The first job in rank that some
-- of the workers may share, locked.
SELECT id::text AS id FROM job j
 WHERE state = 'QUEUED' AND gang_size > 1 AND gang_size <= cardinality($1::bigint[])
   AND need_memory <= (CASE WHEN spec->>'compute_type' = 'FLOAT32' THEN $6::bigint[] ELSE $1::bigint[] END)[gang_size]
   AND ($2::text[] = '{}' OR kind = ANY ($2::text[]))
   AND ($3::text[] = '{}' OR queue = ANY ($3::text[]))
   AND ($4::text = '' OR project = $4)
   AND ($5::text = '' OR need_device IN ('', $5))
   AND NOT EXISTS (SELECT 1 FROM project_share h WHERE h.project = j.project AND h.leased + j.gang_size > h.max_leased)
 ORDER BY rank_time, id
   FOR NO KEY UPDATE OF j SKIP LOCKED
 LIMIT 1;
