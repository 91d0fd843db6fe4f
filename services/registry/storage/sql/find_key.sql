SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM expire_time) * 1000000)::bigint AS expire_us,
       (extract(epoch FROM former_expire_time) * 1000000)::bigint AS former_expire_us
  FROM api_key WHERE key_hash = $1 OR (former_hash <> '' AND former_hash = $1) LIMIT 1;
