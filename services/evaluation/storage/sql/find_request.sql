-- $1 kind, $2 project, $3 request_id.
SELECT kind, name, project, task, parent, state, body::text, version, sequence, payload_digest
  FROM resource
 WHERE kind = $1 AND project = $2 AND request_id = $3;
