-- $1 suite_digest, $2 system digests, $3 repeats, $4 $5 $6 after (row, system, repeat; '' = from the start), $7 limit (0 = all).
SELECT suite_digest, row_digest, system_digest, repeat, run, output, finish_reason, error, input_tokens, cached_input_tokens,
       output_tokens, cost, latency, first_token, cached, revision, time::text
  FROM answer
 WHERE suite_digest = $1
   AND system_digest = ANY($2::text[])
   AND repeat < $3
   AND ($4 = '' OR (row_digest, system_digest, repeat) > ($4, $5, $6::int))
 ORDER BY row_digest, system_digest, repeat
 LIMIT NULLIF($7::bigint, 0);
