-- $1 experiment
SELECT sequence, from_state, to_state, from_step, to_step, actor, time, statistics, words
  FROM transition WHERE experiment = $1 ORDER BY sequence;
