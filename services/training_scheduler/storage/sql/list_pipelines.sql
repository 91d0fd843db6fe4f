-- $1 project, $2 id, $3 request_id, $4 state, $5 labels (JSON), $6 before (id), $7 limit. Empty filters match everything.
SELECT id::text AS id, project, COALESCE(payload_hash, '') AS payload_hash, labels::text AS labels, state,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us
  FROM pipeline
 WHERE project = $1 AND ($2 = '' OR id = NULLIF($2, '')::uuid) AND ($3 = '' OR request_id = $3) AND ($4 = '' OR state = $4)
   AND labels @> $5::jsonb AND ($6 = '' OR id < NULLIF($6, '')::uuid)
 ORDER BY id DESC LIMIT $7;
