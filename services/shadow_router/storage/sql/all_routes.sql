SELECT name, settings, config_version, experiment, create_time, update_time FROM route ORDER BY name;
