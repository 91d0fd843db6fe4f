-- $1 project, $2 most leases at a time; '' = no quota.
INSERT INTO project_share (project, max_leased) VALUES ($1, NULLIF($2, '')::integer)
ON CONFLICT (project) DO UPDATE SET max_leased = excluded.max_leased;
