-- Whoever has the alias loses it.
UPDATE model_version SET alias = '' WHERE project = $1 AND alias = $2 AND alias <> '';
