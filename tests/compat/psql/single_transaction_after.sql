-- The script before was rolled back.
SELECT to_regclass('together') AS together;
