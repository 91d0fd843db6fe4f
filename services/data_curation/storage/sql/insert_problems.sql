-- $1 project, $2 file, $3 a JSON array of {position, line, field, code, message, is_error}
INSERT INTO file_problem (project, file, position, line, field, code, message, is_error)
SELECT $1, $2, p.position, p.line, p.field, p.code, p.message, p.is_error
  FROM jsonb_to_recordset($3::jsonb)
       AS p(position bigint, line bigint, field text, code text, message text, is_error boolean);
