-- $1 seconds. Keys of calls that nobody sends again, and workers that do not come back.
WITH r AS (DELETE FROM request WHERE create_time <= clock_timestamp() - make_interval(secs => $1))
DELETE FROM worker w WHERE seen_time <= clock_timestamp() - make_interval(secs => $1)
   AND NOT EXISTS (SELECT 1 FROM job WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') AND lease_worker = w.name);
