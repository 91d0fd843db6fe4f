UPDATE run SET dataset_version = $3 WHERE project = $1 AND id = $2;
