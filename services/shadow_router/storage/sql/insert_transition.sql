-- $1 experiment, $2 sequence, $3 from, $4 to, $5 from_step, $6 to_step, $7 actor, $8 time, $9 statistics, $10 words
INSERT INTO transition (experiment, sequence, from_state, to_state, from_step, to_step, actor, time, statistics, words)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
