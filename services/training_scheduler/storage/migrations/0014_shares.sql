-- What each project holds, counted in the transactions that grant and end leases: for quotas and fair shares.
CREATE TABLE project_share (
  project    text PRIMARY KEY,
  leased     integer NOT NULL DEFAULT 0 CHECK (leased >= 0),
  max_leased integer CHECK (max_leased >= 0)  -- NULL = no quota. May be set below what is leased now: then nothing more is.
);
INSERT INTO project_share (project, leased)
SELECT project, count(*) FILTER (WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING')) FROM job GROUP BY project;

-- A project's jobs in the order of their claims; projects that have any are found by skipping from one to the next.
DROP INDEX job_claim;
CREATE INDEX job_claim ON job (project, rank_time, id) WHERE state = 'QUEUED' AND gang_size = 1;
CREATE INDEX job_claim_gang ON job (rank_time, id) WHERE state = 'QUEUED' AND gang_size > 1;
