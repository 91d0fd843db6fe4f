-- $1 id
SELECT sequence, experiment, comparison FROM pair WHERE id = $1;
