-- $1 project, $2 id, $3 row digest, $4 subject, $5 reason
INSERT INTO tombstone (project, id, row_digest, subject, reason) VALUES ($1, $2, $3, $4, $5);
