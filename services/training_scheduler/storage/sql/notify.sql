SELECT pg_notify('crossover_job', '');
