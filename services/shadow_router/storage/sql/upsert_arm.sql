-- $1 instance, $2 incarnation, $3 experiment, $4 comparison, $5 weight, $6 counts
INSERT INTO arm (instance, incarnation, experiment, comparison, weight, counts) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (experiment, comparison, weight, instance, incarnation) DO UPDATE SET counts = excluded.counts;
