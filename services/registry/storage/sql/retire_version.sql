UPDATE prompt_version SET state = 'RETIRED', update_time = clock_timestamp()
 WHERE project = $1 AND task = $2 AND prompt = $3 AND state = 'ACTIVE';
