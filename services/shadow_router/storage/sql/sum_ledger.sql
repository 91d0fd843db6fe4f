-- $1 experiment, $2 comparison
SELECT coalesce(sum(eligible), 0)::bigint, coalesce(sum(sampled), 0)::bigint, coalesce(sum(paired), 0)::bigint,
       coalesce(sum(in_flight), 0)::bigint, coalesce(sum(bytes), 0)::bigint,
       (SELECT coalesce(jsonb_object_agg(key, total), '{}') FROM (
          SELECT key, sum(value::bigint) AS total FROM ledger l, jsonb_each_text(l.failed)
           WHERE l.experiment = $1 AND l.comparison = $2 GROUP BY key) AS f),
       (SELECT coalesce(jsonb_object_agg(key, total), '{}') FROM (
          SELECT key, sum(value::bigint) AS total FROM ledger l, jsonb_each_text(l.dropped)
           WHERE l.experiment = $1 AND l.comparison = $2 GROUP BY key) AS d)
  FROM ledger WHERE experiment = $1 AND comparison = $2;
