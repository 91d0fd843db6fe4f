-- The job and the database's time, which alone decides what has expired.
SELECT *, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us FROM job_row WHERE key = $1::uuid;
