#!/usr/bin/env python3
"""Measures Portcullis against PgBouncer and the bare server, on a private PostgreSQL.

    bench/run.py                         everything: some ten minutes
    bench/run.py --only identity,simple --rounds 5 --seconds 10
    bench/run.py --syscalls --only simple      the proxies' system calls: how many, and those of one transaction
    bench/run.py --targets postgres,pgbouncer

Each workload is run in interleaved rounds (A B C A B C …), so that a slow minute of the machine hits every
target alike; the table shows medians. Throughput is noisy on a small machine, where pgbench, server and
proxy share the cores; the proxy's CPU per transaction is the steady figure. Prints Markdown, writes JSON to
bench/results/latest.json and charts to bench/charts. Needs Linux, Python 3.9, openssl, PostgreSQL's server programs with
pgbench, and PgBouncer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bulk import copy_figures, handshake_figures
from charts import draw_all
from fairness import fairness_round
from measure import Load, Sample, run_case
from memory import directory_figures, idle_memory
from parties import per_transaction_us
from report import (copy_table, directory_table, fairness_table, handshake_table, limit_table, memory_table,
                    syscall_table, traces, workload_table)
from syscalls import counting, one_transaction, parse_strace, writing
from targets import (
    PgBouncer, Portcullis, Postgres, PreparingPortcullis, SetupError, Target, chown, find_binaries, make_certificate,
    raise_file_limit,
)
from wire import Session, WireError
from workloads import BEGIN_AS_USER, LIMIT, ORDINARY, PREPARING, TARGETS, TODOS_PER_TENANT, WORKLOADS, Case, Workload

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "latest.json"
CHARTS = HERE / "charts"
WARM_UP_SECONDS = 1
TRACED_SECONDS = 3
# What is prepared once is over by the last of them.
TRACED_TRANSACTIONS = 5
HANDSHAKES = 500
MEMORY, COPY, TLS, FAIRNESS, DIRECTORY = "memory", "copy", "tls", "fairness", "directory"
# Each idle client is an open file, here and in the proxy; so many are for everything else (`ulimit -Hn` is the limit).
SPARE_FILES = 200


def main() -> int:
    options = parse_options()
    # A signal must unwind the stack that stops the servers.
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _frame: sys.exit(128 + number))
    options.idle = min(options.idle, raise_file_limit() - SPARE_FILES)
    try:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="portcullis-bench-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            chown(folder)
            binaries = find_binaries(options.pg_bin)
            targets = start_targets(options, binaries, folder, stack)
            measure_all(options, binaries, targets, folder)
    except SetupError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parse_options() -> argparse.Namespace:
    """The command line, checked."""
    names = [workload.name for workload in WORKLOADS] + [COPY, TLS, FAIRNESS, DIRECTORY, MEMORY]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=3, help="rounds per workload (default 3)")
    parser.add_argument("--seconds", type=positive, default=5, help="length of one run (default 5)")
    parser.add_argument("--clients", type=positive, default=32, help="pgbench's clients (default 32)")
    parser.add_argument("--pool", type=positive, default=16, help="the proxies' pool size (default 16)")
    parser.add_argument("--idle", type=positive, default=20_000, help="idle clients for memory (default 20000)")
    parser.add_argument("--tenants", type=positive, default=50_000, help="tenants listed for directory (default 50000)")
    parser.add_argument("--only", type=choice(names), default=names, help=f"workloads: {','.join(names)}")
    parser.add_argument("--targets", type=choice(list(TARGETS)), default=list(TARGETS),
                        help=f"targets: {','.join(TARGETS)}")
    parser.add_argument("--syscalls", action="store_true", help="count and show the proxies' system calls (strace) instead")
    parser.add_argument("--pg-bin", help="folder of PostgreSQL's server programs")
    parser.add_argument("--portcullis", type=existing, help="the binary (default target/release/portcullis, built if absent)")
    return parser.parse_args()


def start_targets(options: argparse.Namespace, binaries: Path, folder: Path, stack: ExitStack) -> dict[str, Target]:
    """Starts what is asked for, and makes sure that each answers rightly. The server is always needed."""
    def started(target: Target) -> Target:
        stack.callback(target.stop)
        target.start()
        return target

    postgres = Postgres(folder, binaries)
    postgres.prepare()
    certificate = make_certificate(folder)
    targets: dict[str, Target] = {"postgres": postgres}
    # Made first, as they say at once what is missing.
    if "pgbouncer" in options.targets:
        targets["pgbouncer"] = PgBouncer(folder, postgres, options.pool, certificate)
    if "portcullis" in options.targets:
        targets["portcullis"] = Portcullis(folder, postgres, options.pool, certificate, options.portcullis)
    if PREPARING in options.targets:
        targets[PREPARING] = PreparingPortcullis(folder, postgres, options.pool, certificate, options.portcullis)
    started(postgres)
    postgres.fill()
    for target in targets.values():
        if target.is_proxy:
            started(target)
            check_answer(target)
    return {name: target for name, target in targets.items() if name in options.targets}


def check_answer(target: Target) -> None:
    """A fast wrong answer is worth nothing: each must show one tenant's rows, all of them, and Portcullis
    must be guarding."""
    session = target.session()
    count = "SELECT count(*) FROM todos"
    guards = isinstance(target, Portcullis)
    try:
        statements = [count] if guards else [*BEGIN_AS_USER, count, "COMMIT"]
        rows = [session.query(statement) for statement in statements]
        if guards:
            check_guard(session)
    except WireError as error:
        raise SetupError(f"{target.name}: {error}") from error
    finally:
        session.close()
    found = rows[statements.index(count)]
    if found != [[str(TODOS_PER_TENANT)]]:
        raise SetupError(f"{target.name}: {count} gave {found}, not {TODOS_PER_TENANT}")


def check_guard(session: Session) -> None:
    """Forging the identity must be refused; a proxy that lets it pass is faster, and not what is measured."""
    for forgery in ("SELECT set_config('app.tenant_id', 't8', true)", "SET app.tenant_id = 't8'", "RESET ROLE"):
        try:
            session.query(forgery)
        except WireError as error:
            if "42501" not in str(error):
                raise
        else:
            raise SetupError(f"portcullis let `{forgery}` pass: this build does not guard")


def measure_all(options: argparse.Namespace, binaries: Path, targets: dict[str, Target], folder: Path) -> None:
    """Runs the workloads, prints each table when it is done, and writes the whole as JSON."""
    pgbench = binaries / "pgbench"
    threads = min(os.cpu_count() or 1, options.clients)
    load = Load(options.clients, threads, options.seconds)
    facts = describe(options, targets)
    print("\n".join(f"* {key}: {value}" for key, value in facts.items()), flush=True)
    chosen = [workload for workload in WORKLOADS if workload.name in options.only]
    report: dict = {"facts": facts, "workloads": {}, "copy": {}, "tls": {}, "fairness": [], "directory": {},
                    "memory": {}, "syscalls": {}}
    if options.syscalls:
        traced = {w.name: trace_workload(w, targets, pgbench, load, folder) for w in chosen}
        print("\n" + syscall_table(traced) + "\n" + traces(traced), flush=True)
        report["syscalls"] = {name: {label: asdict(s) for label, s in runs.items()} for name, runs in traced.items()}
    else:
        for workload in chosen:
            samples, skipped = run_workload(workload, targets, pgbench, load, folder, options.rounds)
            print("\n" + workload_table(workload, samples, skipped), flush=True)
            runs = {label: [asdict(sample) for sample in each] for label, each in samples.items()}
            if workload.name == LIMIT:
                print(limit_table(runs), flush=True)
            report["workloads"][workload.name] = {"title": workload.title, "runs": runs, "skipped": skipped}
        ordinary = {name: target for name, target in targets.items() if name in ORDINARY}
        measure_bulk(options, binaries, ordinary, folder, report)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    draw_all(report, CHARTS)


def measure_bulk(
    options: argparse.Namespace, binaries: Path, targets: dict[str, Target], folder: Path, report: dict
) -> None:
    """COPY, TLS, fairness, the directory and memory, each printed when it is done."""
    psql = binaries / "psql"
    proxies = {name: target for name, target in targets.items() if target.is_proxy}
    if COPY in options.only:
        rounds = {name: [] for name in targets}
        for _ in range(options.rounds):
            for name, target in targets.items():
                rounds[name].append(copy_figures(psql, target, folder))
        report["copy"] = rounds
        print("\n" + copy_table(rounds), flush=True)
    if TLS in options.only:
        report["tls"] = {name: handshake_figures(target, HANDSHAKES) for name, target in proxies.items()}
        print("\n" + handshake_table(report["tls"]), flush=True)
    if FAIRNESS in options.only and proxies:
        for number in range(options.rounds):
            note(f"fairness: round {number + 1} of {options.rounds}")
            report["fairness"].append(fairness_round(binaries / "pgbench", targets, folder, options.seconds))
        note("")
        print("\n" + fairness_table(report["fairness"]), flush=True)
    if DIRECTORY in options.only and "portcullis" in targets:
        # Listing that many databases in PgBouncer's file is no use of it that anybody has.
        report["directory"] = {"portcullis": directory_figures(targets["portcullis"], options.tenants)}
        print("\n" + directory_table(report["directory"]), flush=True)
    if MEMORY in options.only:
        report["memory"] = {name: idle_memory(target, options.idle) for name, target in proxies.items()}
        print("\n" + memory_table(report["memory"]), flush=True)


def run_workload(
    workload: Workload, targets: dict[str, Target], pgbench: Path, load: Load, folder: Path, rounds: int
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    """Warm-up, then rounds of every case in turn. Also which cases were left out, and why."""
    cases = [case for case in workload.cases if case.target in targets]
    reasons = {case.label: targets[case.target].lacks(case.protocol) for case in cases}
    skipped = {label: reason for label, reason in reasons.items() if reason}
    cases = [case for case in cases if case.label not in skipped]
    logins: dict[str, Sample] = {}
    for case in cases:
        run_case(pgbench, targets[case.target], case, Load(load.clients, load.threads, WARM_UP_SECONDS), folder)
        if not case.connect:
            once = Load(load.clients, load.threads, transactions=1)
            logins[case.label] = run_case(pgbench, targets[case.target], case, once, folder)
    samples: dict[str, list[Sample]] = {case.label: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            note(f"{workload.name}: round {number + 1} of {rounds}, {case.label}")
            sample = run_case(pgbench, targets[case.target], case, load, folder)
            login = logins.get(case.label)
            further = sample.transactions - login.transactions if login and not login.error else 0
            if further > 0:
                sample.parties_us = per_transaction_us(sample.cpu_s, login.cpu_s, further, sample.tps)
            samples[case.label].append(sample)
    note("")
    return samples, skipped


def trace_workload(
    workload: Workload, targets: dict[str, Target], pgbench: Path, load: Load, folder: Path
) -> dict[str, Sample]:
    """Every case that has a proxy, traced."""
    traced = {}
    for case in workload.cases:
        target = targets.get(case.target)
        if target and target.is_proxy and not target.lacks(case.protocol):
            traced[case.label] = trace_case(case, target, pgbench, load, folder)
    return traced


def trace_case(case: Case, target: Target, pgbench: Path, load: Load, folder: Path) -> Sample:
    """A run whose system calls are counted, which slows the proxy down, and some transactions of one client whose calls are
    written down."""
    report = folder / "strace.txt"
    counter = counting(target.pid, report)
    sample = run_case(pgbench, target, case, Load(load.clients, load.threads, TRACED_SECONDS), folder)
    calls = parse_strace(counter.stop())
    if sample.error is None:
        sample.syscalls = {name: round(number / sample.transactions, 3) for name, number in calls.items()}
        writer = writing(target.pid, report)
        run_case(pgbench, target, case, Load(1, 1, transactions=TRACED_TRANSACTIONS), folder)
        sample.trace = one_transaction(writer.stop(), target.port, target.server.port)
    return sample


def describe(options: argparse.Namespace, targets: dict[str, Target]) -> dict[str, str]:
    """What the figures depend on."""
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} × {models[0] if models else platform.machine()}, Linux {platform.release()}",
        "load": f"{options.clients} clients, pool of {options.pool}, {options.rounds} rounds of {options.seconds} s, loopback TCP without TLS",
        **{name: target.version() for name, target in targets.items()},
    }


def note(text: str) -> None:
    """Progress, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def existing(text: str) -> Path:
    path = Path(text).resolve()
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be run")
    return path


def choice(names: list[str]):
    """A comma-separated list of some of `names`."""
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(names)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
