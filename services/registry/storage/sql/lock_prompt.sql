-- Orders the activations of a prompt.
SELECT 1 FROM resource WHERE kind = 'prompt' AND project = $1 AND parent = $2 AND id = $3 FOR UPDATE;
