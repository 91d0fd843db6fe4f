-- $1 route
SELECT name FROM experiment WHERE route = $1 AND state NOT IN ('DRAFT', 'COMPLETED', 'ROLLED_BACK', 'ABORTED');
