-- $1 id, $2 route, $3 time, $4 body
INSERT INTO recording (id, route, time, body) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING;
