-- $1 route (empty: all), $2 id below which to go on (empty: newest), $3 limit
SELECT body FROM recording
 WHERE ($1 = '' OR route = $1) AND ($2 = '' OR id < nullif($2, '')::uuid) ORDER BY id DESC LIMIT $3;
