SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (extract(epoch FROM activate_time) * 1000000)::bigint AS activate_us
  FROM prompt_version WHERE project = $1 AND task = $2 AND prompt = $3 AND digest = $4;
