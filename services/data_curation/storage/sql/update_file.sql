-- $1 project, $2 id, $3 revision, $4 size, $5 sha256, $6 state, $7 reason, $8 details. No row: the revision is an old one.
UPDATE file SET size_bytes = $4, sha256 = $5, state = $6, state_reason = $7, details = $8::jsonb,
                update_time = now(), revision = revision + 1
 WHERE project = $1 AND id = $2 AND revision = $3 RETURNING 1;
