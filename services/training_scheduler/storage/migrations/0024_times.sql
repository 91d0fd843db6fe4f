-- What a job is asked to keep is a date (job_times.h): job_row gives times in microseconds, and one time that these cannot hold made
-- every claim, list and update that came by its job fail.
UPDATE job SET start_time = NULL WHERE start_time < '0001-01-01T00:00:00Z' OR start_time >= '10000-01-01T00:00:00Z';
UPDATE job SET deadline = NULL WHERE deadline < '0001-01-01T00:00:00Z' OR deadline >= '10000-01-01T00:00:00Z';
ALTER TABLE job
  ADD CONSTRAINT start_time_is_a_date CHECK (start_time >= '0001-01-01T00:00:00Z' AND start_time < '10000-01-01T00:00:00Z'),
  ADD CONSTRAINT deadline_is_a_date CHECK (deadline >= '0001-01-01T00:00:00Z' AND deadline < '10000-01-01T00:00:00Z');
