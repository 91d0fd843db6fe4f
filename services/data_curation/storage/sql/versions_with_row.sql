SELECT v.*, (extract(epoch FROM v.create_time) * 1000000)::bigint AS create_us FROM version v
 WHERE v.project = $1 AND EXISTS (SELECT 1 FROM version_row r
        WHERE r.project = v.project AND r.dataset = v.dataset AND r.version = v.digest AND r.row_digest = $2)
 ORDER BY v.create_time;
