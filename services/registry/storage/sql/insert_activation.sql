INSERT INTO prompt_activation (project, task, prompt, digest, evaluation, override_reason)
VALUES ($1, $2, $3, $4, $5, $6);
