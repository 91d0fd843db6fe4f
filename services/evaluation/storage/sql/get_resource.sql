-- $1 kind, $2 name.
SELECT kind, name, project, task, parent, state, body::text, version, sequence
  FROM resource
 WHERE kind = $1 AND name = $2;
