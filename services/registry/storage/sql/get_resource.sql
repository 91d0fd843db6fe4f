SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us
  FROM resource WHERE kind = $1 AND project = $2 AND parent = $3 AND id = $4;
