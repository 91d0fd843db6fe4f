-- $1 project, $2 data set, $3 version, $4 position of the first, then arrays: $5 row digests, $6 splits, $7 shards, $8 offsets
INSERT INTO version_row (project, dataset, version, position, row_digest, split, shard, shard_offset)
SELECT $1, $2, $3, $4::bigint + r.n - 1, r.row_digest, r.split, r.shard, r.shard_offset
  FROM unnest($5::text[], $6::text[], $7::integer[], $8::bigint[]) WITH ORDINALITY
       AS r(row_digest, split, shard, shard_offset, n);
