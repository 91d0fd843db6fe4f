-- $1 experiment, $2 limit, $3 time. Right outputs for pairs that carry no LABEL grade yet, where the pair or the feedback was stored
-- since then; the newest per pair counts. Either may come first.
WITH news AS (
  SELECT p.sequence, f.project, f.id
    FROM feedback f JOIN pair p ON f.inference_id IN (p.request_id, p.completion_id)
   WHERE f.store_time > $3 AND f.name IN ('label', 'demonstration') AND f.inference_id <> '' AND p.experiment = $1 AND p.gradable
     AND starts_with(p.experiment, f.project || '/')
  UNION
  SELECT p.sequence, f.project, f.id
    FROM pair p JOIN feedback f ON f.inference_id IN (p.request_id, p.completion_id)
   WHERE p.experiment = $1 AND p.gradable AND p.store_time > $3 AND f.name IN ('label', 'demonstration') AND f.inference_id <> ''
     AND starts_with(p.experiment, f.project || '/')
)
SELECT DISTINCT ON (p.sequence) f.id, f.project, f.inference_id, f.name, f.value, f.author, f.time, p.body
  FROM news JOIN pair p ON p.sequence = news.sequence JOIN feedback f ON f.project = news.project AND f.id = news.id
 WHERE NOT EXISTS (SELECT FROM grade g WHERE g.pair = p.sequence AND g.source = 'LABEL')
 ORDER BY p.sequence, f.id DESC LIMIT $2;
