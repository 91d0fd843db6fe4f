UPDATE model SET display_name = $3, labels = $4::jsonb, update_time = now() WHERE project = $1 AND model = $2 RETURNING 1;
