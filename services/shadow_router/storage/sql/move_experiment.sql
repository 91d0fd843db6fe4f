-- $1 name, $2 settings, $3 state, $4 paused_from, $5 state_reason, $6 step, $7 state_time, $8 start_time, $9 finish_time,
-- $10 comparison, $11 provenance, $12 number of this transition, $13 expected revision (0: any).
-- No row: somebody else moved or changed it.
UPDATE experiment
   SET settings = $2, state = $3, paused_from = $4, state_reason = $5, step = $6, state_time = $7, start_time = nullif($8, '')::timestamptz,
       finish_time = nullif($9, '')::timestamptz, comparison = $10, provenance = $11, transitions = $12, revision = revision + 1, update_time = $7
 WHERE name = $1 AND transitions = $12 - 1 AND ($13::bigint = 0 OR revision = $13);
