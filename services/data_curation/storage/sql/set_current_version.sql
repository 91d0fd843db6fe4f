UPDATE dataset SET current_version = $3 WHERE project = $1 AND id = $2 RETURNING 1;
