-- $1 id
SELECT sequence, body FROM pair WHERE id = $1;
