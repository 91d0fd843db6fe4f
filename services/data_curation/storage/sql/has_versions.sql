SELECT 1 FROM version WHERE project = $1 AND dataset = $2 LIMIT 1;
