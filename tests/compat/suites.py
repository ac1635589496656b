"""Every suite, in the order of the table."""

from compiled_suites import PgJdbc, TokioPostgres
from node_suites import NodeOrms, NodePostgres, PostgresJs
from program_suites import Pgbench, Psql
from python_suites import Asyncpg, Django, Pg8000, Psycopg, SqlAlchemy

SUITES = (
    Psycopg(), Asyncpg(), Pg8000(), SqlAlchemy(), Django(), NodePostgres(),
    PostgresJs(), NodeOrms(), TokioPostgres(), PgJdbc(), Psql(), Pgbench(),
)
