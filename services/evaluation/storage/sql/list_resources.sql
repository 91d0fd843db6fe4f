-- $1 kind, $2 project, $3 task, $4 parent, $5 state (each '' = all), $6 before sequence, $7 limit. Newest first.
SELECT kind, name, project, task, parent, state, body::text, version, sequence
  FROM resource
 WHERE kind = $1
   AND ($2 = '' OR project = $2)
   AND ($3 = '' OR task = $3)
   AND ($4 = '' OR parent = $4)
   AND ($5 = '' OR state = $5)
   AND sequence < $6
 ORDER BY sequence DESC
 LIMIT $7;
