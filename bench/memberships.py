#!/usr/bin/env python3
"""What a role per tenant costs the server: one login that is a member of thousands of roles.

    python3 bench/memberships.py [--pg-bin DIR] [--members 1 1000 10000]

Starts a server of its own, gives one login more and more memberships, and measures what a pooler notices: to log in,
to put a role on for the first time and again, to read under row security, and all of it after one more GRANT, which
has every backend forget what it knew of memberships. Medians, in milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import targets
from wire import Session

# The login inherits nothing; each tenant's role inherits what the shared role has.
SCHEMA = """
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE app LOGIN NOINHERIT;
GRANT authenticated TO app;
CREATE TABLE notes (tenant text, body text);
INSERT INTO notes SELECT 't' || n, 'note' FROM generate_series(1, 100) n;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes TO authenticated USING (tenant = current_setting('app.tenant', true));
GRANT SELECT ON notes TO authenticated;
"""

MORE = """
DO $$ BEGIN FOR n IN {first}..{last} LOOP
    EXECUTE format('CREATE ROLE t_%s NOLOGIN', n);
    EXECUTE format('GRANT authenticated TO t_%s', n);
    EXECUTE format('GRANT t_%s TO app', n);
END LOOP; END $$
"""

# As the proxy does it, in one transaction.
ENTER = "BEGIN; SELECT set_config('role', 't_{n}', true), set_config('app.tenant', 't{n}', true)"
READ = "; SELECT count(*) FROM notes"


def timed(act) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def median(values) -> float:
    return statistics.median(values)


class Bed:
    """The server under measurement."""

    def __init__(self, postgres: targets.Postgres):
        self.postgres = postgres
        self.members = 0
        self.spare = 0

    def root(self, sql: str) -> None:
        with_session(self.session("postgres"), sql)

    def session(self, user: str = "app") -> Session:
        return Session(self.postgres.port, user, "postgres", "")

    def grow(self, members: int) -> float:
        """Makes roles until the login has so many; how long the last of them took, each."""
        took = 0.0
        while self.members < members:
            last = min(self.members + 500, members)
            took = timed(lambda: self.root(MORE.format(first=self.members + 1, last=last))) / (last - self.members)
            self.members = last
        return took

    def one_more(self) -> float:
        """GRANT of one more role, which is not counted among the members."""
        self.spare += 1
        self.root(f"CREATE ROLE spare_{self.spare}; GRANT authenticated TO spare_{self.spare}")
        return timed(lambda: self.root(f"GRANT spare_{self.spare} TO app"))


def with_session(session: Session, sql: str) -> None:
    session.query(sql)
    session.close()


def measure(bed: Bed, rounds: int) -> dict[str, float]:
    """All figures at the present number of memberships."""
    found: dict[str, float] = {}
    found["log in and out"] = median(timed(lambda: bed.session().close()) for _ in range(rounds))

    def first() -> float:
        session = bed.session()
        took = timed(lambda: session.query(ENTER.format(n=1) + "; COMMIT"))
        session.close()
        return took

    found["first role after login"] = median(first() for _ in range(rounds))
    session = bed.session()
    pid = session.query("SELECT pg_backend_pid()")[0][0]

    def enter(n: int, more: str = "") -> float:
        return timed(lambda: session.query(ENTER.format(n=n) + more + "; COMMIT"))

    enter(1)
    found["the same role again"] = median(enter(1) for _ in range(rounds * 5))
    tenants = [n % bed.members + 1 for n in range(rounds * 5)]
    found["another role each time"] = median(enter(n) for n in tenants)
    enter(1, READ)
    found["the same role, RLS read"] = median(enter(1, READ) for _ in range(rounds * 5))
    found["another role, RLS read"] = median(enter(n, READ) for n in tenants)
    found["GRANT of one more"] = median(bed.one_more() for _ in range(rounds))

    def after_grant(more: str) -> float:
        bed.one_more()
        return enter(1, more)

    found["first role after a GRANT"] = median(after_grant("") for _ in range(rounds))
    found["RLS read after a GRANT"] = median(after_grant(READ) for _ in range(rounds))
    for n in range(1, bed.members + 1):
        enter(n, READ)
    found["backend memory, KiB, all roles seen"] = resident_kib(pid) - fresh_kib(bed)
    # One text for each role, as the proxy keeps it: a statement belongs to a role.
    count = min(200, bed.members)
    before = resident_kib(pid)
    for n in range(1, count + 1):
        session.query(ENTER.format(n=n) + f"; PREPARE s_{n} AS SELECT body FROM notes WHERE tenant = $1; "
                      f"EXECUTE s_{n}('t{n}'); COMMIT")
    found["memory of a prepared statement, KiB"] = (resident_kib(pid) - before) / count
    session.close()
    return found


def fresh_kib(bed: Bed) -> int:
    session = bed.session()
    pid = session.query("SELECT pg_backend_pid()")[0][0]
    size = resident_kib(pid)
    session.close()
    return size


def resident_kib(pid: str) -> int:
    """What a backend has to itself."""
    status = Path("/proc", pid, "status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


class Bare(targets.Postgres):
    """A server that asks for no password on the loopback, and runs without psql."""

    def prepare(self) -> None:
        super().prepare()
        (self.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\nlocal all all trust\n")

    def probe(self) -> None:
        Session(self.port, "postgres", "postgres", "").close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pg-bin", type=Path, help="folder with initdb and postgres")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    binaries = (options.pg_bin or targets.find_binaries(None)).resolve()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-memberships-")))
        targets.chown(folder)
        postgres = Bare(folder, binaries)
        postgres.prepare()
        postgres.start()
        stack.callback(postgres.stop)
        bed = Bed(postgres)
        bed.root(SCHEMA)
        columns = []
        for members in sorted(options.members):
            each = bed.grow(members)
            columns.append({"make one of them": each, **measure(bed, options.rounds)})
        print(postgres.version())
        print(f"{'memberships':38}" + "".join(f"{members:>10}" for members in sorted(options.members)))
        for name in columns[0]:
            print(f"{name:38}" + "".join(f"{column[name]:>10.2f}" for column in columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
