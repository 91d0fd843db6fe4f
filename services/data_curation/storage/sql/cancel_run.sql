UPDATE run SET state = 'CANCELLED', state_reason = 'cancelled', finish_time = now(), lease_owner = NULL,
               lease_expire_time = NULL
 WHERE project = $1 AND id = $2;
