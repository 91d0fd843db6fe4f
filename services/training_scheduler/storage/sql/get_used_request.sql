-- $1 project, $2 request_id.
SELECT payload_hash, model, digest FROM request WHERE project = $1 AND request_id = $2;
