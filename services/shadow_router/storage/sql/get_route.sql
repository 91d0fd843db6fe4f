-- $1 name
SELECT name, settings, config_version, experiment, create_time, update_time FROM route WHERE name = $1;
