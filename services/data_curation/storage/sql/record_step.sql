-- $1 project, $2 id, $3 epoch, $4 step, $5 its position from 0. No row: the lease is lost. `fresh` is false when the
-- step is there already: the call is a repeat.
WITH leased AS MATERIALIZED (
  SELECT project, id, jsonb_array_length(details->'funnel') = $5 AS fresh FROM run
   WHERE project = $1 AND id = $2 AND lease_epoch = $3 AND state = 'RUNNING' FOR UPDATE)
UPDATE run SET details = CASE WHEN fresh THEN jsonb_set(details, '{funnel}', (details->'funnel') || $4::jsonb)
                              ELSE details END
  FROM leased WHERE run.project = leased.project AND run.id = leased.id RETURNING fresh;
