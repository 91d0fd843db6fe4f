-- $1 project, $2 run, $3 type, $4 message, $5 data. The run's row lock orders the events.
WITH counted AS (
  UPDATE run SET last_event = last_event + 1, revision = revision + 1, update_time = now()
   WHERE project = $1 AND id = $2 RETURNING last_event)
INSERT INTO run_event (project, run, sequence, type, message, data)
SELECT $1, $2, last_event, $3, $4, $5::jsonb FROM counted;
