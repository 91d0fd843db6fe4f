-- $1 name, $2 incarnation, $3 version, $4 device, $5 memory_bytes, $6 threads, $7 kinds, $8 queues, $9 gang.
INSERT INTO worker (name, incarnation, version, device, memory_bytes, threads, kinds, queues, gang)
VALUES ($1, $2, $3, $4, $5, $6, $7::text[], $8::text[], $9)
ON CONFLICT (name) DO UPDATE
   SET previous_incarnation = CASE WHEN worker.incarnation = excluded.incarnation THEN worker.previous_incarnation
                                   ELSE worker.incarnation END,
       incarnation = excluded.incarnation, version = excluded.version, device = excluded.device,
       memory_bytes = excluded.memory_bytes, threads = excluded.threads, kinds = excluded.kinds, queues = excluded.queues, gang = excluded.gang,
       seen_time = clock_timestamp();
