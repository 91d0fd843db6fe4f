-- What a job is, in contrast to where it is: changed by validation and by UpdateJob, never by a worker.
UPDATE job
   SET display_name = $2, labels = $3::jsonb, base_model = $4, priority = $5, queue = $6,
       deadline = NULLIF($7, '')::timestamptz, plan = $8::json, need_memory = $9,
       base_digest = COALESCE($8::json->'inputs'->>'base_digest', '')
 WHERE id = $1::uuid;
