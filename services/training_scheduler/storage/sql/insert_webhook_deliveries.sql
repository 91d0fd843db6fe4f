-- $1 projects, $2 jobs, $3 event types: one of each for every job that has ended; $4 time. One delivery for every endpoint that
-- wants the event. Their ids are UUIDv7 (RFC 9562 §5.7), which Postgres 15 does not make by itself: the milliseconds over the
-- first 48 of 122 random bits, version 7.
INSERT INTO webhook_delivery (id, endpoint_id, project, job_id, event_type, state, next_time, create_time, update_time)
SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM $4::timestamptz) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid,
       e.id, e.project, v.job_id, v.event_type, 'PENDING', $4::timestamptz, $4::timestamptz, $4::timestamptz
  FROM unnest($1::text[], $2::uuid[], $3::text[]) AS v (project, job_id, event_type)
  JOIN webhook_endpoint e ON e.project = v.project
 WHERE NOT e.disabled AND (e.event_types = '{}' OR v.event_type = ANY (e.event_types));
