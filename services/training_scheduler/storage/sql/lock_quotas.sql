-- Puts claims of projects with a quota in line.
SELECT 1 FROM project_share WHERE max_leased IS NOT NULL ORDER BY project FOR NO KEY UPDATE;
