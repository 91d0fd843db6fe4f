-- $1 project, $2 slug ('' = all), $3 after (slug), $4 limit.
SELECT project, model, display_name, labels::text AS labels,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us,
       (SELECT digest FROM model_version v WHERE (v.project, v.model) = (m.project, m.model) ORDER BY ordinal DESC LIMIT 1) AS current_digest,
       (SELECT kind FROM model_version v WHERE (v.project, v.model) = (m.project, m.model) ORDER BY ordinal LIMIT 1) AS kind
  FROM model m
 WHERE project = $1 AND ($2 = '' OR model = $2) AND model > $3
 ORDER BY model LIMIT $4;
