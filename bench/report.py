"""Turns samples into a Markdown table."""

from __future__ import annotations

from statistics import median

from measure import Sample
from workloads import Workload


def workload_table(workload: Workload, samples: dict[str, list[Sample]], skipped: dict[str, str]) -> str:
    """Medians over the rounds, one line per case; throughput with its range, as it is noisy."""
    lines = [
        f"### {workload.title}",
        "",
        "| | tps | range | × PgBouncer | p50 ms | p99 ms | proxy CPU µs |",
        "|---|---|---|---|---|---|---|",
    ]
    bouncers = [tps(samples[case.label]) for case in workload.cases
                if case.target == "pgbouncer" and tps(samples.get(case.label, []))]
    for case in workload.cases:
        if case.label in skipped:
            lines.append(f"| {case.label} | {skipped[case.label]} | | | | | |")
            continue
        runs = samples.get(case.label)
        if runs is None:
            continue
        good = [run for run in runs if run.error is None]
        if not good:
            lines.append(f"| {case.label} | failed: {runs[0].error} | | | | | |")
            continue
        rates = [run.tps for run in good]
        times = " / ".join(f"{median(rates) / rate:.2f}" for rate in bouncers) if case.target != "pgbouncer" else ""
        failed = f", {len(runs) - len(good)} rounds failed" if len(good) < len(runs) else ""
        lines.append(
            f"| {case.label} | {median(rates):,.0f}{failed} | {min(rates):,.0f}–{max(rates):,.0f} | {times} "
            f"| {figure(good, 'p50_ms', 2)} | {figure(good, 'p99_ms', 2)} | {figure(good, 'cpu_us', 1)} |"
        )
    return "\n".join(lines) + "\n"


def memory_table(memory: dict[str, dict[str, float]]) -> str:
    """Memory per idle client."""
    lines = ["### memory per idle client", "", "| | clients | KiB after login | KiB after its first query |", "|---|---|---|---|"]
    for target, figures in memory.items():
        lines.append(f"| {target} | {figures['clients']} | {figures['kib_before_first_query']:.1f} "
                     f"| {figures['kib_after_first_query']:.1f} |")
    return "\n".join(lines) + "\n"


def copy_table(rounds: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """COPY in both directions: medians over the rounds."""
    lines = ["### COPY of 1,000,000 rows", "", "| | out: MB/s | MB per CPU second | in: MB/s | MB per CPU second |",
             "|---|---|---|---|---|"]
    for target, runs in rounds.items():
        cells = [median(run[direction][name] for run in runs) if name in runs[0][direction] else None
                 for direction in ("out", "in") for name in ("mb_per_s", "mb_per_cpu_s")]
        lines.append(f"| {target} | " + " | ".join("" if cell is None else f"{cell:,.0f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def handshake_table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """TLS handshakes by kind."""
    lines = ["### TLS 1.3 handshakes, ECDSA P-256, one client", "",
             "| | full: per second | per CPU second | resumed: per second | per CPU second |", "|---|---|---|---|---|"]
    for target, kinds in figures.items():
        cells = [f"{kinds[kind][name]:,.0f}" for kind in ("full", "resumed") for name in ("per_s", "per_cpu_s")]
        lines.append(f"| {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def syscall_table(traced: dict[str, dict[str, Sample]]) -> str:
    """System calls per transaction, the frequent ones by name."""
    lines = ["### the proxy's system calls per transaction", "", "| workload | | all | by name |", "|---|---|---|---|"]
    for workload, cases in traced.items():
        for label, sample in cases.items():
            if sample.error:
                lines.append(f"| {workload} | {label} | failed: {sample.error} | |")
                continue
            calls = sorted(sample.syscalls.items(), key=lambda call: -call[1])
            names = ", ".join(f"{name} {number:.2f}" for name, number in calls if number >= 0.05)
            lines.append(f"| {workload} | {label} | {sum(sample.syscalls.values()):.2f} | {names} |")
    return "\n".join(lines) + "\n"


def tps(runs: list[Sample]) -> float | None:
    """The median throughput of the runs that succeeded."""
    rates = [run.tps for run in runs if run.error is None]
    return median(rates) if rates else None


def figure(runs: list[Sample], name: str, digits: int) -> str:
    """The median of one figure, or nothing."""
    values = [getattr(run, name) for run in runs if getattr(run, name) is not None]
    return f"{median(values):,.{digits}f}" if values else ""
