-- $1 project, $2 id (empty = all), $3 request_id (empty = any), $4 before (id, empty = from the newest), $5 limit.
SELECT id::text AS id, project, COALESCE(payload_hash, '') AS payload_hash, url, array_to_string(event_types, ',') AS event_types,
       labels::text AS labels, secret, disabled,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us
  FROM webhook_endpoint
 WHERE project = $1 AND ($2 = '' OR id = NULLIF($2, '')::uuid) AND ($3 = '' OR request_id = $3)
   AND ($4 = '' OR id < NULLIF($4, '')::uuid)
 ORDER BY id DESC LIMIT $5;
