DELETE FROM dataset WHERE project = $1 AND id = $2 RETURNING 1;
