-- $1 name, $2 incarnation, $3 version, $4 device, $5 memory_bytes, $6 threads, $7 kinds, $8 queues, $9 gang, $10 usage ('' = it did
-- not say), $11 bases, $12 compute types, $13 whose jobs it may have (empty = all; of a life
-- what it said first).
INSERT INTO worker (name, incarnation, version, device, memory_bytes, threads, kinds, queues, gang, usage, bases, compute_types,
                    only_project)
VALUES ($1, $2, $3, $4, $5, $6, $7::text[], $8::text[], $9, NULLIF($10, '')::json, $11::text[], $12::text[], $13)
ON CONFLICT (name) DO UPDATE
   SET previous_incarnation = CASE WHEN worker.incarnation IN (excluded.incarnation, '') THEN worker.previous_incarnation
                                   ELSE worker.incarnation END,
       incarnation = excluded.incarnation, version = excluded.version, device = excluded.device,
       memory_bytes = excluded.memory_bytes, threads = excluded.threads, kinds = excluded.kinds, queues = excluded.queues,
       gang = excluded.gang, usage = excluded.usage, bases = excluded.bases, compute_types = excluded.compute_types,
       only_project = CASE WHEN worker.incarnation = excluded.incarnation
                           THEN COALESCE(worker.only_project, excluded.only_project) ELSE excluded.only_project END,
       seen_time = clock_timestamp();
