-- $1 name
SELECT name, route, settings, state, paused_from, state_reason, step, state_time, start_time, finish_time, comparison, provenance,
       transitions, revision, create_time, update_time
  FROM experiment WHERE name = $1;
