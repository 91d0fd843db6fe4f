-- $1 id, $2 attempt, $3 state, $4 seconds until the next attempt, $5 HTTP status, $6 answer, $7 whether the endpoint is gone.
-- No row: another attempt has begun, or a redelivery was asked for.
WITH d AS (
  UPDATE webhook_delivery
     SET state = $3, response_status = $5, response = $6, lease_expire_time = NULL,
         next_time = CASE WHEN $3 = 'PENDING' THEN clock_timestamp() + make_interval(secs => $4) END
   WHERE id = $1::uuid AND attempts = $2 AND lease_expire_time IS NOT NULL
  RETURNING endpoint_id
), e AS (
  UPDATE webhook_endpoint SET disabled = true, update_time = clock_timestamp() FROM d WHERE $7 AND id = d.endpoint_id
)
SELECT 1 FROM d;
