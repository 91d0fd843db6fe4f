DELETE FROM file WHERE project = $1 AND id = $2 RETURNING 1;
