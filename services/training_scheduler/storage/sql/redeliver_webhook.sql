-- $1 project, $2 endpoint, $3 id. Whoever is at an attempt finds its lease gone.
UPDATE webhook_delivery SET state = 'PENDING', next_time = clock_timestamp(), lease_expire_time = NULL
 WHERE project = $1 AND endpoint_id = $2::uuid AND id = $3::uuid
RETURNING 1;
