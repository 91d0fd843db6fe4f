-- $1 id, $2 project, $3 inference_id, $4 name, $5 value, $6 author. No row: the id was used for something else.
SELECT 1 FROM feedback
 WHERE project = $2 AND id = $1 AND inference_id = $3 AND name = $4 AND value::text = $5::text AND author = $6;
