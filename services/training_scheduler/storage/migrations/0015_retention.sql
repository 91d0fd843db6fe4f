CREATE INDEX job_urgent ON job (rank_time, id) WHERE state = 'QUEUED' AND priority > 0;
CREATE INDEX job_finished ON job (finish_time) WHERE finish_time IS NOT NULL;
CREATE INDEX job_dependants ON job USING gin (depends_on) WHERE depends_on <> '{}';

-- Every claim and every end leaves a dead row, and the claim's index begins with those of the jobs claimed last. The server's
-- defaults clean up after a fifth of the table has changed, which for a long history is never.
ALTER TABLE job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
                     autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE job_event SET (autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE job_metric SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE project_share SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE worker SET (fillfactor = 50);
