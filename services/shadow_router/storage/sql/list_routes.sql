-- $1 project, $2 last name of the page before, $3 limit
SELECT name, settings, config_version, experiment, create_time, update_time
  FROM route WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3;
