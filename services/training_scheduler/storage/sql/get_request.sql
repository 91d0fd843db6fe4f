-- $1 project, $2 request_id: what was created by it.
SELECT id::text AS id, payload_hash FROM job WHERE project = $1 AND request_id = $2;
