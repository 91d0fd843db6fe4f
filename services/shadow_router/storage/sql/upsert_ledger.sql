-- $1 instance, $2 incarnation, $3 experiment, $4 comparison, $5 minute, $6 eligible, $7 sampled, $8 paired, $9 failed,
-- $10 failed_total, $11 dropped, $12 dropped_total, $13 in_flight, $14 bytes. Absolute counts: writing them twice does no harm.
INSERT INTO ledger (instance, incarnation, experiment, comparison, minute, eligible, sampled, paired, failed, failed_total,
                    dropped, dropped_total, in_flight, bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (experiment, comparison, minute, instance, incarnation) DO UPDATE
   SET eligible = excluded.eligible, sampled = excluded.sampled, paired = excluded.paired, failed = excluded.failed,
       failed_total = excluded.failed_total, dropped = excluded.dropped, dropped_total = excluded.dropped_total,
       in_flight = excluded.in_flight, bytes = excluded.bytes;
