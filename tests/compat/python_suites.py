"""Suites of Python's drivers and of what is built on them."""

from __future__ import annotations

import shutil
from pathlib import Path

from outcome import Outcomes, from_unittest
from workshop import Suite, Workshop

HERE = Path(__file__).resolve().parent


class Psycopg(Suite):
    """psycopg 3. Left out: what needs no database, other databases, a name server, or minutes of sleep."""

    name, title = "psycopg", "psycopg 3"
    version = "3.3.4"
    left_out = ("crdb", "pool", "scripts", "test_typing.py", "test_dns.py", "test_dns_srv.py", "test_gevent.py",
                "test_free_threading.py", "test_module.py")

    def install(self, shop: Workshop) -> None:
        shop.pip(f"psycopg[binary]=={self.version}", "pytest", "pytest-timeout", "anyio", "pproxy", "numpy", "shapely")
        source = shop.checkout("psycopg", "https://github.com/psycopg/psycopg", self.version)
        self.folder = shop.bench(self.name)
        shutil.copytree(source / "tests", self.folder / "tests")
        shutil.copy(source / "pyproject.toml", self.folder)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        dsn = " ".join(f"{key}={environment[variable]}" for key, variable in (
            ("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER"), ("password", "PGPASSWORD"),
            ("dbname", "PGDATABASE"), ("sslmode", "PGSSLMODE")))
        # The suite takes its target from the option, and tests what the variables do.
        clean = {name: value for name, value in environment.items() if not name.startswith("PG")}
        ignored = [f"--ignore=tests/{name}" for name in self.left_out]
        chosen = f"tests/{only}" if only else "tests"
        return self.pytest(shop, self.folder, clean, label, "-m", "not slow", "--test-dsn", dsn, *ignored, chosen)


class Asyncpg(Suite):
    """asyncpg. Tests that start a cluster of their own run there both times, or not at all as root."""

    name, title = "asyncpg", "asyncpg"
    version = "0.32.0"

    def install(self, shop: Workshop) -> None:
        shop.pip(f"asyncpg=={self.version}", "pytest", "pytest-timeout", "distro", "uvloop")
        self.folder = shop.bench(self.name)
        # Without the package beside them, which lacks its compiled half.
        shutil.copytree(shop.sdist("asyncpg", self.version) / "tests", self.folder / "tests")

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        return self.pytest(shop, self.folder, environment, label, f"tests/{only}" if only else "tests")


class Pg8000(Suite):
    """pg8000. Left out: its README as a test, benchmarks, and ways to log in that its own cluster has."""

    name, title = "pg8000", "pg8000"
    version = "1.31.6"
    left_out = ("test_readme.py", "*/test_benchmarks.py", "*/auth")

    def install(self, shop: Workshop) -> None:
        shop.pip(f"pg8000=={self.version}", "pytest", "pytest-timeout", "pytest-mock", "pytz")
        self.folder = shop.bench(self.name)
        shutil.copytree(shop.sdist("pg8000", self.version) / "test", self.folder / "test")
        # Its tests take host, port and password of libpq's variables.
        for path in self.folder.glob("test/*/conftest.py"):
            more = '("user", "PGUSER", str),\n        ("database", "PGDATABASE", str),\n        ("host", "PGHOST", str),'
            path.write_text(path.read_text().replace('("host", "PGHOST", str),', more))

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        ignored = [f"--ignore-glob=*/test/{name}" for name in self.left_out]
        return self.pytest(shop, self.folder, environment, label, *ignored, f"test/{only}" if only else "test")


class SqlAlchemy(Suite):
    """SQLAlchemy's PostgreSQL dialect and the suite it gives to writers of dialects, over psycopg.

    One class of hundreds of tests makes temporary tables before each of them: in transaction mode it would show
    the same 0A000 hundreds of times, so it is left out there. In session mode it runs.
    """

    name, title = "sqlalchemy", "SQLAlchemy (dialect suite)"
    version = "2.1.9"
    # README.unittests.rst of the source distribution.
    setup_sql = """
CREATE SCHEMA test_schema AUTHORIZATION service_role;
CREATE SCHEMA test_schema_2 AUTHORIZATION service_role;
SELECT format('ALTER DATABASE %I SET default_text_search_config = %L', current_database(), 'pg_catalog.english') \\gexec
"""

    def install(self, shop: Workshop) -> None:
        shop.pip(f"sqlalchemy=={self.version}", f"psycopg[binary]=={Psycopg.version}", "pytest", "pytest-timeout")
        self.folder = shop.sdist("sqlalchemy", self.version)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        url = (f"postgresql+psycopg://{environment['PGUSER']}:{environment['PGPASSWORD']}@{environment['PGHOST']}:"
               f"{environment['PGPORT']}/{environment['PGDATABASE']}")
        chosen = () if shop.pool_mode == "session" else ("-k", "not ComponentReflectionTest")
        return self.pytest(shop, self.folder, environment, label, "-p", "no:logging", *chosen, "--dburi", url, "--maxfail=10000", "--backend-only",
                           *([f"test/{only}"] if only else ["test/dialect/postgresql", "test/dialect/test_suite.py"]))


class Django(Suite):
    """Django's tests of backends, schemas, migrations' ground, transactions and queries."""

    name, title = "django", "Django (backends, schema, transactions, …)"
    version = "5.2.19"
    apps = ("backends", "transactions", "transaction_hooks", "schema", "introspection", "inspectdb", "select_for_update",
            "bulk_create", "constraints", "basic", "queries", "get_or_create", "postgres_tests", "datatypes", "lookup")

    def install(self, shop: Workshop) -> None:
        shop.pip(f"django=={self.version}", f"psycopg[binary]=={Psycopg.version}")
        self.folder = shop.bench(self.name)
        shutil.copytree(shop.sdist("django", self.version) / "tests", self.folder / "tests")
        shutil.copy(HERE / "django_settings.py", self.folder / "tests" / "compat_settings.py")

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        command = [str(shop.python), "runtests.py", "--settings=compat_settings", "--verbosity=2", "--noinput",
                   "--parallel=1", *([only] if only else self.apps)]
        return from_unittest(self.output(shop, command, environment, label, self.folder / "tests"))
