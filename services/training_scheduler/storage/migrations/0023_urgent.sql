-- The most urgent job that may take another's place: the housekeeper asks every second whether there is any. Before, such jobs were
-- read in the order of their ranks.
DROP INDEX job_urgent;
CREATE INDEX job_urgent ON job (priority) WHERE state = 'QUEUED' AND gang_size = 1 AND priority > 0;
