-- $1 workers, $2 incarnations, $3 token hashes: one of each for every job that may be claimed; $4 seconds to live, $5 kinds,
-- $6 queues, $7 project (these: empty = all), $8 device, $9 bytes of memory (empty, 0 = not known: fits all), $10 the bases that each
-- of the workers has, with commas between them. With the version that the rows have now. migrations/0019.
SELECT *, pg_current_xact_id()::xid::text AS version
  FROM claim_jobs($1::text[], $2::text[], $3::text[], $4, $5::text[], $6::text[], $7, $8, $9, $10::text[]);
