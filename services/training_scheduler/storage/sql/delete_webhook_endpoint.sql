-- $1 project, $2 id. Its deliveries go with it.
DELETE FROM webhook_endpoint WHERE project = $1 AND id = $2::uuid RETURNING 1;
