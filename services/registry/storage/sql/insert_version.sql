-- $1 project, $2 task, $3 prompt, $4 digest, $5 spec, $6 labels, $7 parent, $8 note. Nothing happens if it exists.
INSERT INTO prompt_version (project, task, prompt, digest, spec, labels, parent, note)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8) ON CONFLICT DO NOTHING;
