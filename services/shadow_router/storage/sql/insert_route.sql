-- $1 name, $2 project, $3 settings, $4 now
INSERT INTO route (name, project, settings, create_time, update_time) VALUES ($1, $2, $3, $4, $4);
