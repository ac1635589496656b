"""The suites: where each comes from, how it is run, how its results are read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bed import SetupError
from outcome import FAILED, PASSED, Outcome, Outcomes, from_junit, from_unittest

HERE = Path(__file__).resolve().parent
# A suite that hangs must not stop the others.
SUITE_TIMEOUT_S = 1800
TEST_TIMEOUT_S = 20


class Workshop:
    """Where suites are installed and run: a Python environment, checkouts, reports."""

    def __init__(self, cache: Path, binaries: Path, sources: Path | None):
        self.cache, self.binaries = cache.resolve(), binaries
        self.sources = sources.resolve() if sources else None
        self.python = self.cache / "venv" / "bin" / "python"
        self.cache.mkdir(parents=True, exist_ok=True)

    def pip(self, *packages: str) -> None:
        """Installs into the Python environment."""
        if not self.python.exists():
            self.command(sys.executable, "-m", "venv", str(self.cache / "venv"))
        self.command(str(self.python), "-m", "pip", "install", "--quiet", *packages)

    def sdist(self, package: str, version: str) -> Path:
        """The folder of a package's source distribution."""
        folder = self.cache / "sdist" / f"{package}-{version}"
        if not folder.exists():
            archives = self.cache / "archives"
            self.command(str(self.python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package,
                         "--dest", str(archives), f"{package}=={version}")
            shutil.unpack_archive(archives / f"{package}-{version}.tar.gz", folder.parent, filter="data")
        return folder

    def checkout(self, name: str, repository: str, tag: str) -> Path:
        """The folder of a repository's checkout: one of --sources, or a clone."""
        if self.sources and (self.sources / name).is_dir():
            return self.sources / name
        folder = self.cache / "checkout" / f"{name}-{tag.replace('/', '-')}"
        if not folder.exists():
            self.command("git", "clone", "--quiet", "--depth=1", f"--branch={tag}", repository, str(folder))
        return folder

    def bench(self, suite: str) -> Path:
        """An empty folder to lay a suite out in."""
        folder = self.cache / "run" / suite
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def command(self, *command: str, folder: Path | None = None) -> None:
        """Runs a step of the installation."""
        done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise SetupError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")

    def log(self, suite: Suite, label: str) -> Path:
        """Where a suite's output is kept."""
        return self.cache / f"{suite.name}-{label}.log"


class Suite:
    """Other people's tests of a driver."""

    name = title = ""

    def install(self, shop: Workshop) -> None:
        """Brings driver and tests into the workshop."""
        raise NotImplementedError

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        """Runs the tests against what libpq's variables in `environment` name."""
        raise NotImplementedError

    def output(self, shop: Workshop, command: list[str], environment: dict[str, str], label: str, folder: Path) -> str:
        """What a command prints, which is also kept. Its exit code says nothing: some tests fail directly too."""
        with shop.log(self, label).open("wb") as log:
            try:
                subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               timeout=SUITE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                print(f"{self.name}: stopped after {SUITE_TIMEOUT_S} s")
        return shop.log(self, label).read_text(errors="replace")

    def pytest(self, shop: Workshop, folder: Path, environment: dict[str, str], label: str, *options: str) -> Outcomes:
        """Runs pytest in `folder`."""
        report = shop.cache / f"{self.name}-{label}.xml"
        report.unlink(missing_ok=True)
        command = [str(shop.python), "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:randomly", "--tb=short",
                   f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", *options]
        self.output(shop, command, environment, label, folder)
        return from_junit(report) if report.exists() else {}


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


class SqlAlchemy(Suite):
    """SQLAlchemy's PostgreSQL dialect and the suite it gives to writers of dialects, over psycopg."""

    name, title = "sqlalchemy", "SQLAlchemy (dialect suite)"
    version = "2.1.9"

    def install(self, shop: Workshop) -> None:
        shop.pip(f"sqlalchemy=={self.version}", f"psycopg[binary]=={Psycopg.version}", "pytest", "pytest-timeout")
        self.folder = shop.sdist("sqlalchemy", self.version)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        url = (f"postgresql+psycopg://{environment['PGUSER']}:{environment['PGPASSWORD']}@{environment['PGHOST']}:"
               f"{environment['PGPORT']}/{environment['PGDATABASE']}")
        return self.pytest(shop, self.folder, environment, label, "-p", "no:logging", "--dburi", url, "--maxfail=10000",
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


class NodePostgres(Suite):
    """node-postgres: its integration tests, each file a program that exits with 0."""

    name, title = "node-postgres", "node-postgres (files)"
    tag = "pg@8.23.0"
    packages = ("pg-connection-string@2", "pg-pool@3", "pg-protocol@1", "pg-types@2.2.0", "pgpass@1.0.5", "async@2.6.4",
                "bluebird@3.7.2", "co@4.6.0", "pg-copy-streams@0.3.0")

    def install(self, shop: Workshop) -> None:
        source = shop.checkout("node-postgres", "https://github.com/brianc/node-postgres", self.tag)
        self.folder = shop.bench(self.name)
        shutil.copytree(source / "packages" / "pg", self.folder / "pg")
        shop.command("npm", "install", "--silent", "--no-save", "--prefix", str(self.folder), *self.packages)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        home = self.folder / "pg"
        outcomes: Outcomes = {}
        for path in sorted((home / "test" / "integration").rglob(only or "*-tests.js")):
            name = str(path.relative_to(home / "test" / "integration"))
            try:
                done = subprocess.run(["node", str(path)], cwd=home, env=environment, text=True, timeout=TEST_TIMEOUT_S,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                outcomes[name] = Outcome(PASSED if done.returncode == 0 else FAILED, done.stdout)
            except subprocess.TimeoutExpired as error:
                outcomes[name] = Outcome(FAILED, f"timed out\n{(error.stdout or b'').decode(errors='replace')}")
        return outcomes


class Pgbench(Suite):
    """pgbench's built-in scripts in each protocol: a run passes if no transaction fails."""

    name, title = "pgbench", "pgbench (3 protocols × 3 scripts)"

    def install(self, shop: Workshop) -> None:
        """Comes with PostgreSQL."""

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        program = str(shop.binaries / "pgbench")
        outcomes = {"initialize": self.one([program, "--initialize", "--quiet"], environment)}
        for protocol in ("simple", "extended", "prepared"):
            for script in ("tpcb-like", "simple-update", "select-only"):
                command = [program, f"--protocol={protocol}", f"--builtin={script}", "--client=8", "--transactions=100"]
                outcomes[f"{protocol}/{script}"] = self.one(command, environment)
        return outcomes

    @staticmethod
    def one(command: list[str], environment: dict[str, str]) -> Outcome:
        """One run."""
        done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return Outcome(PASSED if done.returncode == 0 else FAILED, done.stdout)


SUITES = (Psycopg(), Asyncpg(), SqlAlchemy(), Django(), NodePostgres(), Pgbench())
