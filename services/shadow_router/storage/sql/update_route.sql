-- $1 name, $2 settings, $3 now, $4 expected config_version (0: any). No row: changed meanwhile, or gone.
UPDATE route SET settings = $2, update_time = $3, config_version = config_version + 1
 WHERE name = $1 AND ($4::bigint = 0 OR config_version = $4)
RETURNING name, settings, config_version, experiment, create_time, update_time;
