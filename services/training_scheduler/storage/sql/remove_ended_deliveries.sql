-- $1 seconds since the last attempt, $2 limit. now(), not clock_timestamp(): what may change within the statement is no condition on
-- an index, and all that is kept would be read each time.
WITH old AS (
  SELECT id FROM webhook_delivery
   WHERE state <> 'PENDING' AND update_time <= now() - make_interval(secs => $1)
   ORDER BY update_time LIMIT $2 FOR UPDATE SKIP LOCKED)
DELETE FROM webhook_delivery d USING old WHERE d.id = old.id RETURNING 1;
