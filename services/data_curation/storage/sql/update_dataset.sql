-- $1 project, $2 id, $3 revision, $4 task, $5 details. No row: the revision is an old one.
UPDATE dataset SET task = $4, details = $5::jsonb, update_time = now(), revision = revision + 1
 WHERE project = $1 AND id = $2 AND revision = $3 RETURNING 1;
