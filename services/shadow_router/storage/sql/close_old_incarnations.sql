-- $1 instance, $2 incarnation that is alive
WITH crashed AS MATERIALIZED (
  SELECT ctid, in_flight FROM ledger WHERE instance = $1 AND incarnation <> $2 AND in_flight > 0 FOR UPDATE
), closed AS (
  UPDATE ledger
     SET dropped = jsonb_set(dropped, '{crashed}', to_jsonb(coalesce((dropped ->> 'crashed')::bigint, 0) + ledger.in_flight)),
         dropped_total = dropped_total + ledger.in_flight, in_flight = 0
    FROM crashed WHERE ledger.ctid = crashed.ctid
)
SELECT coalesce(sum(in_flight), 0)::bigint FROM crashed;
