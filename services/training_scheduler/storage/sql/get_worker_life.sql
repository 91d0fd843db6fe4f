-- $1 name. The row lock makes lives of one name follow one another.
SELECT incarnation, previous_incarnation FROM worker WHERE name = $1 FOR NO KEY UPDATE;
