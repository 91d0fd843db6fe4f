-- $1 name
SELECT experiment FROM route WHERE name = $1 FOR UPDATE;
