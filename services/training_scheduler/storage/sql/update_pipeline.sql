-- $1 id, $2 state, $3 whether something is to do.
UPDATE pipeline SET state = $2, due_time = CASE WHEN $3 THEN clock_timestamp() END, update_time = clock_timestamp()
 WHERE id = $1::uuid;
