-- $1 project, $2 id, $3 role, $4 hash, $5 prefix, $6 expire time or '', $7 document
INSERT INTO api_key (project, id, role, key_hash, prefix, expire_time, document)
VALUES ($1, $2, $3, $4, $5, nullif($6, '')::timestamptz, $7::jsonb);
