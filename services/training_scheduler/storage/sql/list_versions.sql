-- $1 project, $2 model, $3 kind, $4 alias, $5 digest, $6 base_digest, $7 source_job, $8 dataset_version, $9 task,
-- $10 before (ordinal), $11 limit. Empty filters match everything.
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us FROM model_version
 WHERE project = $1 AND ($2 = '' OR model = $2) AND ($3 = '' OR kind = $3) AND ($4 = '' OR alias = $4)
   AND ($5 = '' OR digest = $5) AND ($6 = '' OR base_digest = $6) AND ($7 = '' OR source_job = $7)
   AND ($8 = '' OR dataset_version = $8) AND ($9 = '' OR task = $9) AND ($10 = 0 OR ordinal < $10)
 ORDER BY ordinal DESC LIMIT $11;
