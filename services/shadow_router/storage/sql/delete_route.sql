-- $1 name
DELETE FROM route WHERE name = $1;
