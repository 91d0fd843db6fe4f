SELECT digest FROM prompt_activation WHERE project = $1 AND task = $2 AND prompt = $3
 GROUP BY digest ORDER BY max(sequence) DESC;
