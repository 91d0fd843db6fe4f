-- $1 name, $2 settings, $3 comparison, $4 provenance, $5 now, $6 transitions, $7 expected revision (0: any)
UPDATE experiment
   SET settings = $2, comparison = $3, provenance = $4, update_time = $5, revision = revision + 1
 WHERE name = $1 AND transitions = $6 AND ($7::bigint = 0 OR revision = $7)
RETURNING name, route, settings, state, paused_from, state_reason, step, state_time, start_time, finish_time, comparison, provenance,
       transitions, revision, create_time, update_time;
