-- $1 name. No row: it is moving a route, or gone.
DELETE FROM experiment WHERE name = $1 AND state IN ('DRAFT', 'COMPLETED', 'ROLLED_BACK', 'ABORTED');
