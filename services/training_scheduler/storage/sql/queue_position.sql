-- Jobs of the same queue that would be claimed before it, plus one.
SELECT 1 + count(*) AS position
  FROM job o, (SELECT queue, rank_time, id FROM job WHERE id = $1::uuid) AS mine
 WHERE o.state = 'QUEUED' AND o.queue = mine.queue AND (o.rank_time, o.id) < (mine.rank_time, mine.id);
