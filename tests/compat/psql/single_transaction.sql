-- options: --single-transaction -v ON_ERROR_STOP=1
CREATE TABLE together (n int);
INSERT INTO together VALUES (1);
SELECT count(*) FROM together;
SELECT 1/0;
SELECT 'not reached';
