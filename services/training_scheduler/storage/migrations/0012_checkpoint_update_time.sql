-- When a checkpoint was recorded, pinned or unpinned last.
ALTER TABLE job_checkpoint ADD COLUMN update_time timestamptz NOT NULL DEFAULT clock_timestamp();
