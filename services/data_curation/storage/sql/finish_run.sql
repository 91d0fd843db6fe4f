-- $1 project, $2 id, $3 epoch, $4 state, $5 reason, $6 error reason, $7 details. No row: the lease is lost.
UPDATE run SET state = $4, state_reason = $5, error_reason = $6, details = $7::jsonb, lease_owner = NULL,
               lease_expire_time = NULL, finish_time = CASE WHEN $4 = 'QUEUED' THEN NULL ELSE now() END
 WHERE project = $1 AND id = $2 AND lease_epoch = $3 AND state = 'RUNNING' RETURNING 1;
