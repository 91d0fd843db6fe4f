-- $1 project, $2 request_id
SELECT name, payload FROM request WHERE project = $1 AND request_id = $2;
