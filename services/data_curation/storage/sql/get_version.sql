SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us FROM version
 WHERE project = $1 AND ($2 = '-' OR dataset = $2) AND digest = $3 ORDER BY create_time LIMIT 1;
