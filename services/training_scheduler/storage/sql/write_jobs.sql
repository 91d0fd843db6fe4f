-- What has become of jobs, for job_batch.cc: one array a column; the version that the rows have now, and the database's time.
-- migrations/0020.
SELECT write_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
       $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45),
       pg_current_xact_id()::xid::text AS version, (date_part('epoch', clock_timestamp()) * 1000000)::bigint AS now_us;
