SELECT EXISTS (SELECT 1 FROM api_key
                WHERE NOT revoked AND (expire_time IS NULL OR expire_time > $1::timestamptz));
