-- options: -v ON_ERROR_STOP=1
SELECT 'first';
SELECT 1/0;
SELECT 'not reached';
