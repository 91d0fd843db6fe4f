-- $1 project, $2 id, $3 epoch, $4 seconds to live. No row: the lease is lost.
UPDATE run SET lease_expire_time = now() + make_interval(secs => $4)
 WHERE project = $1 AND id = $2 AND lease_epoch = $3 AND state = 'RUNNING' RETURNING 1;
