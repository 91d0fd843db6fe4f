-- $1 name, $2 experiment that moves it now (empty: none), $3 new primary (empty: stays), $4 now
UPDATE route
   SET experiment = nullif($2, ''), update_time = $4, config_version = config_version + 1,
       settings = CASE WHEN $3 = '' THEN settings ELSE jsonb_set(settings, '{primary}', to_jsonb($3::text)) END
 WHERE name = $1;
