-- hide: \b\d+ (bytes|kB|MB)\b|psql\w*
-- What is the whole cluster's, and the connection.
\l template0
\l+ template1
\du service_role
\du+ service_role
\dg portcullis_service
\conninfo
\encoding
\encoding UTF8
SELECT current_user, current_database() = :'DBNAME' AS here;
\echo :ENCODING :SERVER_VERSION_NUM
\c
SELECT 'still here';
\c - service_role
SELECT current_user;
