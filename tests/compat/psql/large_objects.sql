-- hide: \b\d{5,}\b
\! printf 'a large object' > large.txt
\lo_import large.txt 'a comment'
\lo_list
\lo_export :LASTOID exported.txt
\! cat exported.txt
\lo_unlink :LASTOID
\lo_list
BEGIN;
SELECT lo_from_bytea(0, 'bytes') AS made \gset
SELECT convert_from(lo_get(:made), 'UTF8');
SELECT lo_unlink(:made);
COMMIT;
