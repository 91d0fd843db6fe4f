SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us FROM tombstone WHERE project = $1 AND id = $2;
