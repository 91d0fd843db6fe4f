-- $1 experiment, $2 comparison, $3 sequence, $4 limit
SELECT sequence, facts FROM pair WHERE experiment = $1 AND comparison = $2 AND sequence > $3 ORDER BY sequence LIMIT $4;
