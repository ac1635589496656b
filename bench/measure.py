"""Runs pgbench against a target and reads what it cost: throughput, latency, the proxy's CPU."""

from __future__ import annotations

import math
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from parties import PROXY, spent_so_far
from targets import Target
from workloads import Case

# Share of the transactions whose latency is logged: enough for a p99, and little work for pgbench.
SAMPLING_RATE = 0.2


@dataclass(frozen=True)
class Load:
    """How hard and how long."""

    clients: int
    threads: int
    seconds: int = 0
    # Of each client, instead of a time.
    transactions: int | None = None

    def length(self) -> str:
        """As pgbench is told it."""
        return f"--transactions={self.transactions}" if self.transactions else f"--time={self.seconds}"


@dataclass
class Sample:
    """One run of one case."""

    tps: float = 0.0
    transactions: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    # CPU seconds of each party in the whole run, and for a transaction alone.
    cpu_s: dict[str, float] = field(default_factory=dict)
    parties_us: dict[str, float] = field(default_factory=dict)
    syscalls: dict[str, float] = field(default_factory=dict)
    # One transaction's system calls, in order.
    trace: list[str] = field(default_factory=list)
    error: str | None = None


def run_case(pgbench: Path, target: Target, case: Case, load: Load, folder: Path) -> Sample:
    """One run of pgbench."""
    script, prefix = folder / "script.sql", folder / "latency"
    script.write_text(case.script)
    for old in folder.glob("latency.*"):
        old.unlink()
    command = [
        str(pgbench), "--no-vacuum", f"--file={script}", f"--protocol={case.protocol}", f"--client={load.clients}",
        f"--jobs={load.threads}", load.length(), "--log", f"--log-prefix={prefix}",
        f"--sampling-rate={SAMPLING_RATE}", *(["--connect"] if case.connect else []),
    ]
    before = spent_so_far(target)
    done = subprocess.run(command, env={**os.environ, **target.environment()}, text=True, capture_output=True)
    after = spent_so_far(target)
    transactions = re.search(r"transactions actually processed: (\d+)", done.stdout)
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not transactions or not tps or int(transactions[1]) == 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line or "ERROR" in line]
        return Sample(error=(lines or done.stderr.splitlines() or ["pgbench failed"])[0][:200])
    count = int(transactions[1])
    spent = {party: after[party] - before[party] for party in before}
    sample = Sample(tps=float(tps[1]), transactions=count, cpu_s=spent)
    if not case.connect:
        # With --connect pgbench's clock starts after the login, which is the very thing measured there.
        sample.p50_ms, sample.p99_ms = latencies_ms(folder)
    if target.is_proxy:
        sample.cpu_us = sum(spent[party] for party in PROXY) * 1e6 / count
    return sample


def resident_kib(pid: int) -> int:
    """VmRSS of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def latencies_ms(folder: Path) -> tuple[float | None, float | None]:
    """p50 and p99 from pgbench's logs, one per thread: client, number, microseconds, …"""
    times = []
    for log in folder.glob("latency.*"):
        with log.open() as lines:
            times += [int(line.split(" ", 3)[2]) for line in lines]
    times.sort()
    return percentile(times, 0.50), percentile(times, 0.99)


def percentile(ordered_us: list[int], share: float) -> float | None:
    """The nearest-rank percentile of sorted microseconds, in milliseconds."""
    if not ordered_us:
        return None
    return ordered_us[math.ceil(share * len(ordered_us)) - 1] / 1000
