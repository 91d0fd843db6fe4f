-- $1 project, $2 endpoint, $3 state, $4 job, $5 before (id), $6 limit, $7 id. Empty filters match everything.
SELECT id::text AS id, endpoint_id::text AS endpoint_id, project, job_id::text AS job_id, event_type, state, attempts,
       response_status, response,
       (extract(epoch FROM next_time) * 1000000)::bigint AS next_us,
       (extract(epoch FROM create_time) * 1000000)::bigint AS create_us,
       (extract(epoch FROM update_time) * 1000000)::bigint AS update_us
  FROM webhook_delivery
 WHERE project = $1 AND ($2 = '' OR endpoint_id = NULLIF($2, '')::uuid) AND ($3 = '' OR state = $3)
   AND ($4 = '' OR job_id = NULLIF($4, '')::uuid) AND ($5 = '' OR id < NULLIF($5, '')::uuid)
   AND ($7 = '' OR id = NULLIF($7, '')::uuid)
 ORDER BY id DESC LIMIT $6;
