-- needs: 16
-- The extended protocol, as \bind sends it.
SELECT $1::int + $2::int AS sum \bind 1 2 \g
SELECT $1 AS text \bind 'it''s' \g
SELECT $1::int \bind x \g
SELECT $1 \bind \g
SELECT 1 \; SELECT 2 \bind \g
BEGIN;
INSERT INTO nowhere VALUES ($1) \bind 1 \g
ROLLBACK;
SELECT 'afterwards' \bind \g
