"""Every suite, in the order of the table."""

from compiled_suites import PgJdbc, TokioPostgres
from node_suites import NodePostgres, PostgresJs
from program_suites import Pgbench, Psql
from python_suites import Asyncpg, Django, Psycopg, SqlAlchemy

SUITES = (Psycopg(), Asyncpg(), SqlAlchemy(), Django(), NodePostgres(), PostgresJs(), TokioPostgres(), PgJdbc(), Psql(), Pgbench())
