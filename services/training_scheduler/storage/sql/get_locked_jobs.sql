-- $1 ids. Takes the jobs' row locks, in the order of their ids so that two batches cannot wait for each other, and reads the jobs
-- as they then are (a row that has changed while it was waited for is read anew), with the database's time, which alone decides
-- what has expired.
SELECT *, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
  FROM job_row WHERE key = ANY ($1::uuid[]) ORDER BY key FOR NO KEY UPDATE;
