DELETE FROM model_version WHERE project = $1 AND model = $2 AND digest = $3 RETURNING 1;
