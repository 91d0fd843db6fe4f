-- $1 projects, $2 by how many their leases have become more (less: negative; then the project's row is there).
WITH v AS (
  SELECT project, change FROM unnest($1::text[], $2::integer[]) AS v (project, change)
), u AS (
  UPDATE project_share s SET leased = s.leased + v.change FROM v WHERE s.project = v.project RETURNING s.project
)
INSERT INTO project_share AS s (project, leased)
SELECT project, change FROM v WHERE change > 0 AND project NOT IN (SELECT project FROM u) ORDER BY project
ON CONFLICT (project) DO UPDATE SET leased = s.leased + excluded.leased;
