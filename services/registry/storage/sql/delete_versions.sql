DELETE FROM prompt_version WHERE project = $1 AND task = $2 AND prompt = $3;
