-- $1 job, $2 steps.
DELETE FROM job_checkpoint WHERE job_id = $1::uuid AND step = ANY ($2::bigint[]);
