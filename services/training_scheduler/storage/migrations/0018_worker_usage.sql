-- What a worker used when it last asked for work. While it runs a job its beats say so, and that lies in the job's row, which every
-- beat writes anyway: this row is written no more often than before.
ALTER TABLE worker ADD COLUMN usage json;
