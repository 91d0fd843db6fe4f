INSERT INTO model_version (project, model, digest, kind, architecture, base_digest, tokenizer_digest, template_digest, parameters,
                           bytes, hidden_size, context_length, source_job, dataset_version, task, licence, alias)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);
