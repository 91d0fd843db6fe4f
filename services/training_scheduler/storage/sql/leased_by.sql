-- $1 worker, $2 incarnation ('' = any).
SELECT id::text AS id FROM job
 WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING') 
   AND ((lease_worker = $1 AND ($2 = '' OR lease_incarnation = $2))
        OR (lease_gang @> jsonb_build_array(jsonb_build_object('worker', $1::text))
            AND ($2 = '' OR lease_gang @> jsonb_build_array(jsonb_build_object('worker', $1::text, 'incarnation', $2::text)))))
 ORDER BY id;
