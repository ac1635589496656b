"""Runs pgbench against a target and reads what it cost: throughput, latency, the proxy's CPU."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from targets import SetupError, Target
from workloads import Case

# Share of the transactions whose latency is logged: enough for a p99, and little work for pgbench.
SAMPLING_RATE = 0.2


@dataclass(frozen=True)
class Load:
    """How hard and how long."""

    clients: int
    threads: int
    seconds: int


@dataclass
class Sample:
    """One run of one case."""

    tps: float = 0.0
    transactions: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    syscalls: dict[str, float] = field(default_factory=dict)
    error: str | None = None


def run_case(pgbench: Path, target: Target, case: Case, load: Load, folder: Path, trace: bool = False) -> Sample:
    """One run of pgbench; with `trace`, the proxy's system calls are counted, which slows it down."""
    script, prefix = folder / "script.sql", folder / "latency"
    script.write_text(case.script)
    for old in folder.glob("latency.*"):
        old.unlink()
    command = [
        str(pgbench), "--no-vacuum", f"--file={script}", f"--protocol={case.protocol}", f"--client={load.clients}",
        f"--jobs={load.threads}", f"--time={load.seconds}", "--log", f"--log-prefix={prefix}",
        f"--sampling-rate={SAMPLING_RATE}", *(["--connect"] if case.connect else []),
    ]
    tracer = SyscallTrace(target.pid, folder / "strace.txt") if trace and target.is_proxy else None
    before = cpu_seconds(target.pid)
    done = subprocess.run(command, env={**os.environ, **target.environment()}, text=True, capture_output=True)
    spent = cpu_seconds(target.pid) - before
    calls = tracer.stop() if tracer else {}
    transactions = re.search(r"transactions actually processed: (\d+)", done.stdout)
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not transactions or not tps or int(transactions[1]) == 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line or "ERROR" in line]
        return Sample(error=(lines or done.stderr.splitlines() or ["pgbench failed"])[0][:200])
    count = int(transactions[1])
    sample = Sample(tps=float(tps[1]), transactions=count)
    if not case.connect:
        # With --connect pgbench's clock starts after the login, which is the very thing measured there.
        sample.p50_ms, sample.p99_ms = latencies_ms(folder)
    if target.is_proxy:
        sample.cpu_us = spent * 1e6 / count
        sample.syscalls = {name: round(number / count, 3) for name, number in calls.items()}
    return sample


class SyscallTrace:
    """Counts a process's system calls with strace, all its threads included."""

    def __init__(self, pid: int, report: Path):
        program = shutil.which("strace")
        if program is None:
            raise SetupError("strace is not installed: apt-get install strace (or leave out --syscalls)")
        self.report = report
        self.process = subprocess.Popen(
            [program, "-c", "-f", "-o", str(report), "-p", str(pid)], stderr=subprocess.PIPE, text=True
        )
        # It says "attached" once it is.
        first = self.process.stderr.readline()
        if "attached" not in first:
            self.process.kill()
            raise SetupError(f"strace cannot attach: {first.strip()}")

    def stop(self) -> dict[str, int]:
        """Calls by name since the start."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        return parse_strace(self.report.read_text())


def parse_strace(report: str) -> dict[str, int]:
    """Calls by name from the table of `strace -c`: % time, seconds, usecs/call, calls, [errors,] name."""
    calls = {}
    for line in report.splitlines():
        words = line.split()
        if len(words) in (5, 6) and words[3].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    return calls


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all threads: its CPU clock (clock_getcpuclockid(3), whose id on Linux is
    made of the pid and CPUCLOCK_SCHED)."""
    return time.clock_gettime((~pid << 3) | 2)


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
