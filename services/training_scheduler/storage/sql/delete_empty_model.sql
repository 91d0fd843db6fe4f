DELETE FROM model m WHERE project = $1 AND model = $2
   AND NOT EXISTS (SELECT 1 FROM model_version v WHERE (v.project, v.model) = (m.project, m.model));
