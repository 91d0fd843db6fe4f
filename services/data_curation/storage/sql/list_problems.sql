SELECT line, field, code, message, is_error FROM file_problem
 WHERE project = $1 AND file = $2 AND position >= $3 ORDER BY position LIMIT $4;
