SELECT coalesce((SELECT digest FROM prompt_version
                  WHERE project = $1 AND task = $2 AND prompt = $3 AND state = 'ACTIVE'), '') AS active,
       coalesce((SELECT digest FROM prompt_version
                  WHERE project = $1 AND task = $2 AND prompt = $3 ORDER BY create_time DESC, digest DESC LIMIT 1), '') AS latest;
