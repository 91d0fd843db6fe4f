-- $1 name, $2 expected revision (0: any). No row: it is no draft, changed meanwhile, or gone.
DELETE FROM experiment WHERE name = $1 AND state = 'DRAFT' AND ($2::bigint = 0 OR revision = $2);
