-- $1 after (name), $2 limit. Busy: holds a lease. Lost: neither that nor heard of for two long polls. Usage: as the job's last beat
-- said, else as the worker did when it asked for work. Who has left is not listed.
SELECT name, incarnation, version, device, memory_bytes, threads, gang, array_to_string(kinds, ',') AS kinds,
       array_to_string(queues, ',') AS queues, array_to_string(bases, ',') AS bases,
       array_to_string(compute_types, ',') AS compute_types, COALESCE(only_project, '') AS only_project,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM seen_time) * 1000000)::bigint AS seen_us,
       j.id::text AS job, j.project AS project, COALESCE(j.usage, w.usage::text) AS usage,
       clock_timestamp() - seen_time > interval '125 seconds' AS silent
  FROM worker w
  LEFT JOIN LATERAL (SELECT id, project,
                            CASE WHEN lease_gang IS NULL THEN report->>'usage'
                                 ELSE (SELECT m->>'usage' FROM jsonb_array_elements(lease_gang) AS m
                                        WHERE m->>'worker' = w.name LIMIT 1)
                            END AS usage
                       FROM job
                      WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') 
                        AND (lease_worker = w.name OR lease_gang @> jsonb_build_array(jsonb_build_object('worker', w.name)))
                      LIMIT 1) j ON true
 WHERE name > $1 AND (w.incarnation <> '' OR j.id IS NOT NULL) ORDER BY name LIMIT $2;
