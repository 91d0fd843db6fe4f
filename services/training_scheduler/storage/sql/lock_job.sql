-- Takes the job's row lock; the next statement reads the job as it then is. No row: no such job.
SELECT 1 FROM job WHERE id = $1::uuid FOR NO KEY UPDATE;
