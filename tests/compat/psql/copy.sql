-- options: -v ON_ERROR_STOP=0
CREATE TABLE copied (n int, body text);
\copy copied FROM stdin
1	one
2	\N
3	three\twith tab
\.
\copy copied (n, body) FROM stdin WITH (FORMAT csv, HEADER)
n,body
4,"four, quoted"
5,
\.
\copy copied TO 'copied.out'
TRUNCATE copied;
\copy copied FROM 'copied.out'
\copy (SELECT * FROM copied ORDER BY n) TO stdout WITH (FORMAT csv, NULL 'none')
COPY copied (n) FROM stdin;
not a number
\.
COPY copied FROM stdin;
6	six
7
\.
SELECT count(*), sum(n) FROM copied;
COPY (SELECT n / (n - 3) FROM copied ORDER BY n) TO stdout;
\copy copied TO PROGRAM 'sort -r | head -2'
\copy copied FROM PROGRAM 'printf "9\tnine\n"'
\copy copied FROM 'no such file'
\copy nowhere FROM stdin
\copy copied TO 'copied.bin' WITH (FORMAT binary)
\copy copied FROM 'copied.bin' WITH (FORMAT binary)
BEGIN;
COPY copied FROM stdin;
20	twenty
\.
SAVEPOINT before;
COPY copied FROM stdin;
broken
\.
ROLLBACK TO before;
COMMIT;
SELECT count(*), sum(n) FROM copied;
SELECT 1 \; COPY copied FROM stdin \; SELECT 2;
30	thirty
\.
SELECT count(*), sum(n) FROM copied \g (format=unaligned) copied.txt
\! cat copied.txt
DROP TABLE copied;
