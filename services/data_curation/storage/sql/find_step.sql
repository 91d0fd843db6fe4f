SELECT digest, funnel FROM step WHERE key = $1;
