SELECT row_digest, subject FROM tombstone WHERE project = $1;
