-- $1 project, $2 id, $3 revision, $4 revoked, $5 role, $6 hash, $7 prefix, $8 former hash, $9 former expire time or '',
-- $10 expire time or '', $11 document. No row: the revision is an old one.
UPDATE api_key SET revoked = $4, role = $5, key_hash = $6, prefix = $7, former_hash = $8,
                   former_expire_time = nullif($9, '')::timestamptz, expire_time = nullif($10, '')::timestamptz,
                   document = $11::jsonb, revision = revision + 1, update_time = clock_timestamp()
 WHERE project = $1 AND id = $2 AND revision = $3 RETURNING 1;
