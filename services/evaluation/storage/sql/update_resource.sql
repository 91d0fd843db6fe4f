-- $1 name, $2 version, $3 state, $4 body. No row: the version is not the current one, or there is no such resource.
UPDATE resource
   SET state = $3, body = $4::json, version = version + 1, update_time = now()
 WHERE name = $1 AND version = $2
RETURNING kind, name, project, task, parent, state, body::text, version, sequence;
