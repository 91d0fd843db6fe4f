-- $1 project, $2 model ('' = any), $3 digest or alias.
SELECT *, (extract(epoch FROM create_time) * 1000000)::bigint AS create_us FROM model_version
 WHERE project = $1 AND ($2 = '' OR model = $2) AND (digest = $3 OR (alias = $3 AND alias <> ''))
 ORDER BY ordinal DESC LIMIT 1;
