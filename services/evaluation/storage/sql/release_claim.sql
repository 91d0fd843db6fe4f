-- $1 name, $2 owner.
UPDATE resource
   SET claim_owner = NULL, claim_expire_time = NULL
 WHERE name = $1 AND claim_owner = $2;
