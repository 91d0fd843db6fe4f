-- $1 project, $2 id.
SELECT 1 FROM pipeline WHERE project = $1 AND id = $2::uuid FOR NO KEY UPDATE;
