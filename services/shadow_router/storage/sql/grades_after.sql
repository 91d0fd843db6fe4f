-- $1 experiment, $2 comparison, $3 sequence, $4 limit
SELECT g.sequence, p.id, p.cluster, p.self_compare, p.validity, g.source, g.primary_loss, g.candidate_loss
  FROM grade g JOIN pair p ON p.sequence = g.pair
 WHERE g.experiment = $1 AND g.comparison = $2 AND g.sequence > $3 ORDER BY g.sequence LIMIT $4;
