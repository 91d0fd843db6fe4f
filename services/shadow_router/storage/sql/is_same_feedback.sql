-- $1 id, $2 project, $3 inference_id, $4 name, $5 value, $6 author. Whether a pair is stored under the inference id; no row: the id was
-- used for something else.
SELECT EXISTS (SELECT FROM pair p WHERE (p.request_id = $3 OR p.completion_id = $3 AND p.completion_id <> '')
                  AND starts_with(p.experiment, $2 || '/'))
  FROM feedback
 WHERE project = $2 AND id = $1 AND inference_id = $3 AND name = $4 AND value::text = $5::text AND author = $6;
