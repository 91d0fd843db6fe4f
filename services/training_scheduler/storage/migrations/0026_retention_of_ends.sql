-- What --job-retention removes beside jobs, the oldest first: deliveries that are over and pipelines that have ended.
CREATE INDEX webhook_delivery_over ON webhook_delivery (update_time) WHERE state <> 'PENDING';
CREATE INDEX pipeline_ended ON pipeline (update_time) WHERE state <> 'RUNNING' AND due_time IS NULL;
