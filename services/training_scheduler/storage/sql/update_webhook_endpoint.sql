-- $1 id, $2 url, $3 event types, $4 labels, $5 disabled, $6 update_time as it was read. No row: it has changed since.
UPDATE webhook_endpoint SET url = $2, event_types = $3::text[], labels = $4::jsonb, disabled = $5, update_time = clock_timestamp()
 WHERE id = $1::uuid AND update_time = $6::timestamptz
RETURNING 1;
