INSERT INTO step (key, digest, funnel) VALUES ($1, $2, $3::jsonb)
ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, funnel = excluded.funnel;
