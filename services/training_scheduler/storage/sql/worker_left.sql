-- $1 name, $2 incarnation, $3 whose worker it must be (empty = anybody's). Nobody has the name until a life asks for work
-- under it. No row: it was not the present life, or another project's.
UPDATE worker SET incarnation = '', seen_time = clock_timestamp()
 WHERE name = $1 AND incarnation = $2 AND ($3::text = '' OR only_project = $3);
