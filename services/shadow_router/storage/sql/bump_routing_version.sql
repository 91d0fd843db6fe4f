UPDATE routing_version SET version = version + 1;
