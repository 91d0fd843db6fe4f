-- $1 job, $2 most that are counted. Jobs of the same queue that would be claimed before it, plus one.
SELECT 1 + count(*) AS position
  FROM job mine
 CROSS JOIN LATERAL (
   SELECT 1 FROM job o
    WHERE o.state = 'QUEUED' AND o.queue = mine.queue AND (o.rank_time, o.id) < (mine.rank_time, mine.id)
    ORDER BY o.rank_time, o.id LIMIT $2) AS before
 WHERE mine.id = $1::uuid;
