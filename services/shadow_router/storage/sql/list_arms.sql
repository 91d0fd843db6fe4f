-- $1 experiment, $2 comparison
SELECT weight, counts FROM arm WHERE experiment = $1 AND comparison = $2;
