-- $1 job, $2 step of its resume point: the new epoch says anew what comes after it.
DELETE FROM job_metric WHERE job_id = $1::uuid AND step > $2;
