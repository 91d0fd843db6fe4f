-- $1 project, $2 route (empty: all), $3 last name of the page before, $4 limit
SELECT name, route, settings, state, paused_from, state_reason, step, state_time, start_time, finish_time, comparison, provenance,
       transitions, revision, create_time, update_time
  FROM experiment WHERE project = $1 AND ($2 = '' OR route = $2) AND name > $3 ORDER BY name LIMIT $4;
