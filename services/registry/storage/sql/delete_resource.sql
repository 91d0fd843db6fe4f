DELETE FROM resource WHERE kind = $1 AND project = $2 AND parent = $3 AND id = $4 RETURNING 1;
