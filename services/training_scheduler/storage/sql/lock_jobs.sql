-- $1 ids, $2 those of them whose spec and plan are wanted. With the database's time, once all are locked: it alone decides what
-- has expired. migrations/0017.
SELECT *, (date_part('epoch', clock_timestamp()) * 1000000)::bigint AS now_us FROM lock_jobs($1, $2);
