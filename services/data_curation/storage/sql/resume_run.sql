UPDATE run SET state = 'QUEUED', state_reason = '', error_reason = '', finish_time = NULL
 WHERE project = $1 AND id = $2;
