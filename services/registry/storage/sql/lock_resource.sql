-- Keeps a parent from being deleted while something is created in it.
SELECT 1 FROM resource WHERE kind = $1 AND project = $2 AND parent = $3 AND id = $4 FOR KEY SHARE;
