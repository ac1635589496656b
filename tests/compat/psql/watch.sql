-- \watch goes on until the query fails.
CREATE SEQUENCE watched;
SELECT 3 / (3 - nextval('watched')) AS quotient \watch 0.05
SELECT 'afterwards';
DROP SEQUENCE watched;
