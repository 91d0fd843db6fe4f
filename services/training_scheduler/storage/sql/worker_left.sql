-- $1 name, $2 incarnation. Nobody has the name until a life asks for work under it. No row: it was not the present life.
UPDATE worker SET incarnation = '', seen_time = clock_timestamp() WHERE name = $1 AND incarnation = $2;
