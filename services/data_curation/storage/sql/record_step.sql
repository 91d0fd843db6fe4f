-- $1 project, $2 id, $3 epoch, $4 step. No row: the lease is lost.
UPDATE run SET details = jsonb_set(details, '{funnel}', (details->'funnel') || $4::jsonb)
 WHERE project = $1 AND id = $2 AND lease_epoch = $3 AND state = 'RUNNING' RETURNING 1;
