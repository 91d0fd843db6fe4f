-- $1 name, $2 project, $3 route, $4 settings, $5 now
INSERT INTO experiment (name, project, route, settings, state, paused_from, state_time, create_time, update_time)
VALUES ($1, $2, $3, $4, 'DRAFT', 'DRAFT', $5, $5, $5);
