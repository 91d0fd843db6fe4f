-- $1 base digest. Speed of a worker in the last 50 trainings on this base that succeeded. Work is what was forecast, of the steps that ran.
WITH done AS (
  SELECT (report->'actual'->>'tokens')::float8 AS tokens, (report->'actual'->>'seconds')::float8 * gang_size AS seconds,
         (plan->'resolved'->>'steps')::float8 * (plan->'resolved'->>'batch_size')::float8 AS rows,
         NULLIF((plan->'estimate'->>'work')::float8, 0)
           * NULLIF(LEAST(1, (report->'progress'->>'step')::float8 / NULLIF((plan->'resolved'->>'steps')::float8, 0)), 0) AS work
    FROM job
   WHERE state = 'SUCCEEDED' AND kind NOT IN ('EXPORT', 'SWEEP') AND base_digest = $1
     AND (report->'actual'->>'seconds')::float8 > 0 AND (report->'actual'->>'tokens')::float8 > 0
   ORDER BY id DESC LIMIT 50)
SELECT count(*) AS jobs, COALESCE(sum(tokens) / sum(seconds), 0) AS rate, COALESCE(min(tokens / seconds), 0) AS lower,
       COALESCE(max(tokens / seconds), 0) AS upper, COALESCE(sum(tokens) / NULLIF(sum(rows), 0), 0) AS tokens_per_row,
       COALESCE(sum(work) / sum(seconds) FILTER (WHERE work IS NOT NULL), 0) AS work_rate,
       COALESCE(min(work / seconds), 0) AS work_lower, COALESCE(max(work / seconds), 0) AS work_upper
  FROM done;
