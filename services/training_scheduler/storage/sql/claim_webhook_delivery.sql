-- $1 seconds of the lease. The delivery that has been due longest, of an enabled endpoint without an attempt under way.
WITH c AS MATERIALIZED (
  SELECT d.id FROM webhook_delivery d
   WHERE d.state = 'PENDING' AND d.next_time <= clock_timestamp()
     AND (d.lease_expire_time IS NULL OR d.lease_expire_time <= clock_timestamp())
     AND NOT EXISTS (SELECT 1 FROM webhook_endpoint e WHERE e.id = d.endpoint_id AND e.disabled)
     AND NOT EXISTS (SELECT 1 FROM webhook_delivery o
                      WHERE o.endpoint_id = d.endpoint_id AND o.lease_expire_time > clock_timestamp())
   ORDER BY d.next_time
     FOR UPDATE OF d SKIP LOCKED
   LIMIT 1
)
UPDATE webhook_delivery d
   SET attempts = attempts + 1, update_time = clock_timestamp(),
       lease_expire_time = clock_timestamp() + make_interval(secs => $1)
  FROM c WHERE d.id = c.id
RETURNING d.id::text AS id, d.project, d.endpoint_id::text AS endpoint_id;
