-- $1 experiment, $2 comparison (-1: all), $3 agree (0, 1; -1: all), $4 only valid, $5 sequence below which to go on (0: newest), $6 limit
SELECT sequence, body FROM pair
 WHERE experiment = $1 AND ($2::integer < 0 OR comparison = $2) AND ($3::integer < 0 OR agree = ($3 = 1))
   AND (NOT $4::boolean OR validity = 'VALID') AND ($5::bigint = 0 OR sequence < $5)
 ORDER BY sequence DESC LIMIT $6;
