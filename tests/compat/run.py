#!/usr/bin/env python3
"""Runs other people's test suites directly on PostgreSQL and through Portcullis in transaction mode.

    tests/compat/run.py                        every suite
    tests/compat/run.py psycopg asyncpg        some
    tests/compat/run.py --list                 their names
    tests/compat/run.py psycopg --only test_prepared.py
    tests/compat/run.py --pg-bin DIR           another version of PostgreSQL
    tests/compat/run.py psql --client-bin DIR  another version of psql and pgbench
    tests/compat/run.py --pool-mode session
    tests/compat/run.py psycopg --sources DIR  checkouts already there: DIR/psycopg, DIR/node-postgres, …

Prints what fails only through Portcullis, which entries of expected.toml are needless, and the table
`suite | direct | through | only through fails` and fails when a test that passes directly does not pass
through and no entry of expected.toml covers it. Suites and drivers are installed from their registries into
target/compat; a suite that its package leaves out is cloned from its repository, at the tag of the driver.
Needs Python 3.11, PostgreSQL's server programs, node for the JavaScript suites, and a built binary.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bed import Direct, SetupError, Target, Through, chown, find_portcullis, gather_binaries
from outcome import Expectation, Outcome, Outcomes, count, expectations, only_through
from suites import SUITES
from workshop import Suite, Workshop

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    options = parse_options()
    # A signal must unwind the stack that stops the servers.
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _frame: sys.exit(128 + number))
    try:
        reviewed = expectations(HERE / "expected.toml", options.pool_mode)
        with ExitStack() as stack:
            return run_all(options, reviewed, stack)
    except SetupError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse_options() -> argparse.Namespace:
    """The command line, checked."""
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(names)} (default all)")
    parser.add_argument("--list", action="store_true", help="print the names of the suites")
    parser.add_argument("--only", help="a file, folder or name in the suite's own words")
    parser.add_argument("--sources", type=Path, help="folder with checkouts of the suites that no package holds")
    parser.add_argument("--cache", type=Path, default=ROOT / "target" / "compat", help="where to install")
    parser.add_argument("--pg-bin", help="folder of PostgreSQL's server programs; psql and pgbench may be elsewhere")
    parser.add_argument("--client-bin", type=Path, help="folder of the psql and pgbench to try (default those of PostgreSQL)")
    parser.add_argument("--pool-mode", choices=("transaction", "session"), default="transaction", help="Portcullis' (default transaction)")
    parser.add_argument("--portcullis", type=Path, help="the binary (default that of target/debug)")
    options = parser.parse_args()
    if options.list:
        print("\n".join(names))
        parser.exit()
    unknown = [name for name in options.suites if name not in names]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}; there are {', '.join(names)}")
    options.chosen = [suite for suite in SUITES if not options.suites or suite.name in options.suites]
    return options


def run_all(options: argparse.Namespace, reviewed: list[Expectation], stack: ExitStack) -> int:
    """Runs the suites one after the other; each gets fresh databases."""
    folder = Path(tempfile.mkdtemp(prefix="portcullis-compat-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    chown(folder)
    binaries = gather_binaries(folder, options.pg_bin)
    direct = Direct(folder, binaries)
    through = Through(folder, direct, (options.portcullis or find_portcullis()).resolve(), options.pool_mode)
    direct.prepare()
    stack.callback(direct.stop)
    direct.start()
    direct.fill()
    stack.callback(through.stop)
    through.start()
    clients = (options.client_bin or binaries).resolve()
    workshop = Workshop(options.cache, clients, options.sources, options.pool_mode)
    rows, bad = [], False
    for suite in options.chosen:
        try:
            outcomes = run_suite(suite, workshop, (direct, through), options)
        except SetupError as error:
            # The others may run.
            print(f"compat: {error}", file=sys.stderr)
            bad = True
            continue
        row, unreviewed = judge(suite, *outcomes, reviewed)
        print(row, flush=True)
        rows.append(row)
        bad |= unreviewed
    say_needless(reviewed, options)
    print("\n| suite | direct | through | only through fails |\n| --- | ---: | ---: | ---: |")
    print("\n".join(rows))
    return int(bad)


def say_needless(reviewed: list[Expectation], options: argparse.Namespace) -> None:
    """Says which entries of the reviewed list covered nothing, as far as the suites that ran can tell."""
    if options.only:
        return
    ran = {suite.name for suite in options.chosen}
    for entry in reviewed:
        told = entry.suite in ran or (entry.suite == "*" and len(ran) == len(SUITES))
        if told and not entry.met:
            print(f"no longer fails: {entry.suite} {', '.join(entry.tests)} {entry.says!r}: drop the entry")


def run_suite(suite: Suite, workshop: Workshop, targets: tuple[Direct, Target], options: argparse.Namespace) -> list[Outcomes]:
    """The suite's outcomes on each target, each on a database of its own."""
    print(f"{suite.name}: installing …", flush=True)
    suite.install(workshop)
    outcomes = []
    for target in targets:
        # A name that a tenant may have.
        database = re.sub(r"\W", "_", f"{suite.name}_{target.name}")
        targets[0].run_sql(f'CREATE DATABASE "{database}" OWNER service_role TEMPLATE template0;')
        environment = {**os.environ, **target.environment(), "PGDATABASE": database}
        print(f"{suite.name}: {target.name} …", flush=True)
        if suite.setup_sql:
            targets[0].run_sql(suite.setup_sql, database)
        found = suite.run(workshop, environment, target.name, options.only)
        if not found:
            raise SetupError(f"{suite.name} ran no test {target.name}; its output is in {workshop.log(suite, target.name)}")
        outcomes.append(found)
    return outcomes


def judge(suite: Suite, direct: Outcomes, through: Outcomes, reviewed: list[Expectation]) -> tuple[str, bool]:
    """The row of the table, and whether a difference has not been reviewed. Says the differences."""
    differences = only_through(direct, through)
    reasons: dict[str, int] = {}
    unreviewed = 0
    for name, outcome in sorted(differences.items()):
        expectation = next((entry for entry in reviewed if entry.covers(suite.name, name, outcome)), None)
        if expectation:
            expectation.met += 1
            reasons[expectation.reason] = reasons.get(expectation.reason, 0) + 1
        else:
            unreviewed += 1
            print(f"UNEXPECTED {suite.name} {name} ({outcome.state})\n    " + "\n    ".join(said(outcome)))
    for reason, times in sorted(reasons.items()):
        print(f"expected: {suite.name}: {times} × {reason}")
    cell = f"{len(differences)}" + (f" ({unreviewed} not reviewed)" if unreviewed else "")
    return f"| {suite.title} | {count(direct)} | {count(through)} | {cell} |", unreviewed > 0


def said(outcome: Outcome) -> list[str]:
    """The lines of a failure that tell most: pytest's errors, or the last."""
    lines = [line[:300] for line in outcome.text.strip().splitlines()]
    telling = [line for line in lines if line.startswith("E  ") or re.match(r"\w*Error: ", line)]
    return (telling or [line for line in lines if not line.lstrip().startswith("at ")])[-8:]


if __name__ == "__main__":
    sys.exit(main())
