DELETE FROM file_problem WHERE project = $1 AND file = $2;
