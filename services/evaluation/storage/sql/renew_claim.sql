-- $1 name, $2 owner, $3 seconds to live. No row: the claim is another's.
UPDATE resource
   SET claim_expire_time = now() + make_interval(secs => $3)
 WHERE name = $1 AND claim_owner = $2
RETURNING name;
