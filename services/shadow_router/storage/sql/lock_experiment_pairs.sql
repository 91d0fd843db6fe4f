-- $1 experiment. Pairs and grades of one experiment commit in the order of their sequence, so that a reader who keeps a cursor never
-- passes one that is still to come.
SELECT pg_advisory_xact_lock(hashtextextended('router.pair/' || $1, 0));
