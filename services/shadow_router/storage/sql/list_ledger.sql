-- $1 experiment, $2 comparison (-1: all)
SELECT instance, incarnation, comparison, minute, eligible, sampled, paired, failed, dropped, in_flight, bytes
  FROM ledger WHERE experiment = $1 AND ($2::integer < 0 OR comparison = $2)
 ORDER BY minute, instance, incarnation;
