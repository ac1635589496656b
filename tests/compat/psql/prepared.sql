-- PREPARE and EXECUTE, which only a translation can keep.
PREPARE plus (int, int) AS SELECT $1 + $2 AS sum;
EXECUTE plus (1, 2);
EXECUTE plus (3, 4) \gdesc
EXPLAIN (COSTS off) EXECUTE plus (1, 2);
BEGIN;
EXECUTE plus (5, 6);
ROLLBACK;
EXECUTE plus (7, 8);
PREPARE plus AS SELECT 1;
EXECUTE plus (1);
EXECUTE missing;
DEALLOCATE plus;
EXECUTE plus (1, 2);
DEALLOCATE plus;
PREPARE other AS SELECT 'other';
DEALLOCATE ALL;
EXECUTE other;
