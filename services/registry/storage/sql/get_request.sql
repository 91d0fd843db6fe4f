SELECT payload, resource FROM request WHERE project = $1 AND request_id = $2;
