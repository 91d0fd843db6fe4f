INSERT INTO model (project, model) VALUES ($1, $2)
ON CONFLICT (project, model) DO UPDATE SET update_time = now();
