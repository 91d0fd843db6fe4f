-- $1 pipelines.
SELECT pipeline_id::text AS pipeline_id, step, kind, resource, state, attempt, go_on, created, output, error
  FROM pipeline_step WHERE pipeline_id = ANY ($1::uuid[]) ORDER BY pipeline_id, position;
