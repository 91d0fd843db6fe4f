SELECT * FROM job_row WHERE key = $1::uuid;
