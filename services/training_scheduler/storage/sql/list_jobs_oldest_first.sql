-- $1 project, $2 states, $3 kind, $4 task, $5 base_model, $6 dataset_version, $7 queue, $8 labels, $9 after (id), $10 limit, $11 adapter.
-- Empty filters match everything. Keyset: ids are in order of creation.
SELECT * FROM job_row
 WHERE project = $1
   AND ($2::text[] = '{}' OR state = ANY ($2::text[]))
   AND ($3 = '' OR kind = $3)
   AND ($4 = '' OR task = $4)
   AND ($5 = '' OR base_model = $5)
   AND ($6 = '' OR dataset_version = $6)
   AND ($7 = '' OR queue = $7)
   AND labels::jsonb @> $8::jsonb
   AND ($11 = '' OR report::jsonb->'outputs'->>'adapter_digest' = $11)
   AND ($9 = '' OR key > NULLIF($9, '')::uuid)
 ORDER BY key ASC
 LIMIT $10;
