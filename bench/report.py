"""Turns samples into a Markdown table."""

from __future__ import annotations

from statistics import median

from fairness import FLOODS, Fairness, fairness_medians
from measure import Sample
from parties import PARTIES, PROXY, REST, STRAIGHT, limit_costs, limit_ratios
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


def limit_table(runs: dict[str, list[dict]]) -> str:
    """Where the cores' time goes with and without the proxy, and the one's throughput as a share of the other's."""
    costs = limit_costs(runs)
    names = [*PARTIES, REST]
    lines = ["### cost against the limit: the cores' time in µs per transaction", "",
             f"| | {' | '.join(names)} | in all |", "|---" * (len(names) + 2) + "|"]
    for title, shares in costs.items():
        cells = [f"{shares[name]:.1f}" if name in shares else "" for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} | {sum(shares.get(name, 0.0) for name in names):.1f} |")
    for title, ratio in limit_ratios(costs).items():
        straight, through = costs[STRAIGHT], costs[title]
        more = {name: through.get(name, 0.0) - straight.get(name, 0.0) for name in names}
        proxy, kernel = sum(more[name] for name in PROXY), more[PROXY[1]]
        others = ", ".join(f"{name} {round(more[name], 1) + 0.0:+.1f} µs" for name in names if name not in PROXY)
        lines += ["", f"{title[0].upper()}{title[1:]} {through['tps']:,.0f} of the {straight['tps']:,.0f} transactions a second that the "
                  f"server does when it is sent the same bytes: {ratio:.2f} of the limit. Of {sum(more.values()):.1f} µs more the "
                  f"proxy takes {proxy:.1f}, {kernel:.1f} of them in the kernel; the others: {others}."]
    return "\n".join(lines) + "\n"


def memory_table(memory: dict[str, dict[str, float]]) -> str:
    """Memory per idle client, and whether it is given back."""
    lines = ["### memory of idle clients", "",
             "| | clients | KiB each after login | after its first query | MiB before they come | with them | once they left "
             "| 10 s later |",
             "|---|---|---|---|---|---|---|---|"]
    for target, figures in memory.items():
        process = " | ".join(f"{figures[name]:,.0f}" for name in
                             ("mib_empty", "mib_with_clients", "mib_when_left", "mib_later"))
        lines.append(f"| {target} | {figures['clients']:,} | {figures['kib_before_first_query']:.1f} "
                     f"| {figures['kib_after_first_query']:.1f} | {process} |")
    return "\n".join(lines) + "\n"


def directory_table(directory: dict[str, dict[str, float]]) -> str:
    """What listed tenants cost: start and memory, with one and with all of them."""
    lines = ["### a directory of tenants", "",
             "| | tenants | start: with one | with all | memory: with one | with all |", "|---|---|---|---|---|---|"]
    for target, figures in directory.items():
        lines.append(f"| {target} | {figures['tenants']:,} | {figures['one_start_s']:.2f} s | {figures['all_start_s']:.2f} s "
                     f"| {figures['one_mib']:.0f} MiB | {figures['all_mib']:.0f} MiB |")
    return "\n".join(lines) + "\n"


def fairness_table(rounds: list[Fairness]) -> str:
    """A quiet tenant's latency alone and beside a flood: medians over the rounds."""
    lines = ["### a quiet tenant beside one that floods", "",
             "| the flood | | alone: p50 ms | p99 ms | beside it: p50 ms | p99 ms | × p99 |", "|---|---|---|---|---|---|---|"]
    for kind, ways in fairness_medians(rounds).items():
        for label, figures in ways.items():
            alone, beside = figures["alone"], figures["beside"]
            lines.append(f"| {FLOODS[kind].title} | {label} | {alone['p50_ms']:.1f} | {alone['p99_ms']:.1f} "
                         f"| {beside['p50_ms']:.1f} | {beside['p99_ms']:.1f} | {beside['p99_ms'] / alone['p99_ms']:.1f} |")
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


def traces(traced: dict[str, dict[str, Sample]]) -> str:
    """The system calls of one transaction of each."""
    blocks = ["### the system calls of one transaction, a client alone\n"]
    for workload, cases in traced.items():
        for label, sample in cases.items():
            if sample.trace:
                blocks.append("\n".join([f"{workload}, {label}:", "", "```text", *sample.trace, "```", ""]))
    return "\n".join(blocks)


def tps(runs: list[Sample]) -> float | None:
    """The median throughput of the runs that succeeded."""
    rates = [run.tps for run in runs if run.error is None]
    return median(rates) if rates else None


def figure(runs: list[Sample], name: str, digits: int) -> str:
    """The median of one figure, or nothing."""
    values = [getattr(run, name) for run in runs if getattr(run, name) is not None]
    return f"{median(values):,.{digits}f}" if values else ""
