-- needs: 18
-- Named prepared statements and pipelines.
SELECT $1::int + $2::int AS sum \parse plus
\bind_named plus 1 2 \g
\bind_named plus 3 4 \g
\bind_named missing \g
\close_prepared plus
\bind_named plus 1 2 \g
\startpipeline
SELECT $1 AS a \bind 1 \sendpipeline
SELECT $1 AS b \bind 2 \sendpipeline
\endpipeline
\startpipeline
SELECT 1 \bind \sendpipeline
SELECT 1/0 \bind \sendpipeline
SELECT 2 \bind \sendpipeline
\syncpipeline
SELECT 3 \bind \sendpipeline
\endpipeline
