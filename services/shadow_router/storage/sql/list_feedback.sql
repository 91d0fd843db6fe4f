-- $1 inference_id, $2 last id of the page before, $3 limit
SELECT id, project, inference_id, name, value, author, time FROM feedback
 WHERE inference_id = $1 AND id > $2 ORDER BY id LIMIT $3;
