-- Something that lies in a project ($1 = 'project') or in a task ($1 = 'task').
SELECT kind, project, parent, id FROM resource
 WHERE project = $2 AND CASE $1 WHEN 'project' THEN kind <> 'project' WHEN 'task' THEN kind = 'prompt' AND parent = $3
                                ELSE false END
 LIMIT 1;
