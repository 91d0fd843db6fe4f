UPDATE model_version SET alias = $4 WHERE project = $1 AND model = $2 AND digest = $3 RETURNING 1;
