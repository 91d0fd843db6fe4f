-- $1 experiment, $2 limit. Right outputs for pairs that carry no LABEL grade yet; the newest per pair counts.
SELECT DISTINCT ON (p.sequence) f.id, f.project, f.inference_id, f.name, f.value, f.author, f.time, p.body
  FROM pair p JOIN feedback f ON f.inference_id IN (p.request_id, p.completion_id)
 WHERE p.experiment = $1 AND f.name IN ('label', 'demonstration') AND f.inference_id <> ''
   -- Answers that were not kept whole can't be graded afterwards.
   AND NOT EXISTS (SELECT FROM jsonb_array_elements(p.body -> 'legs') AS leg WHERE leg ->> 'output_is_complete' = 'false')
   AND NOT EXISTS (SELECT FROM grade g WHERE g.pair = p.sequence AND g.source = 'LABEL')
 ORDER BY p.sequence, f.id DESC LIMIT $2;
