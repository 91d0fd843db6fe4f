-- A job's place in its queue, and how fast the last trainings on a base were, without reading the whole table: both are asked with
-- each job that is created.
CREATE INDEX job_queue ON job (queue, rank_time, id) WHERE state = 'QUEUED';

UPDATE job SET base_digest = plan->'inputs'->>'base_digest'
 WHERE base_digest = '' AND COALESCE(plan->'inputs'->>'base_digest', '') <> '';
CREATE INDEX job_rate ON job (base_digest, id) WHERE state = 'SUCCEEDED' AND kind NOT IN ('EXPORT', 'SWEEP');
