-- $1 project, $2 task, $3 prompt, $4 digest, $5 evaluation, $6 override reason. No row: there is no such version.
-- An activation without an evaluation does not forget the one there was.
UPDATE prompt_version SET state = 'ACTIVE', evaluation = CASE WHEN $5 = '' THEN evaluation ELSE $5 END,
                          override_reason = $6, activate_time = clock_timestamp(), update_time = clock_timestamp()
 WHERE project = $1 AND task = $2 AND prompt = $3 AND digest = $4 RETURNING 1;
