-- $1 kind, $2 project, $3 parent, $4 id, $5 revision, $6 state, $7 reason, $8 document. No row: the revision is an old one.
UPDATE resource SET state = $6, state_reason = $7, document = $8::jsonb, revision = revision + 1,
                    update_time = clock_timestamp()
 WHERE kind = $1 AND project = $2 AND parent = $3 AND id = $4 AND revision = $5 RETURNING 1;
