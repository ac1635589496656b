"""Who takes the cores' time of a transaction: the server, the client, the proxy in user space and in the kernel."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from statistics import median

from targets import SetupError, Target

PROXY = ("proxy, user", "proxy, kernel")
PARTIES = ("server", "client", *PROXY)
# What the cores did besides, and all that they could do.
REST, ALL = "idle or other", "all"
# Backends of clients that left end in this time, and what they cost is counted.
SETTLE_S = 0.2
# A server from which nobody comes or goes is read at the first try.
READINGS = 50
# As the cases of the workload `limit` are told apart.
STRAIGHT = "sent straight to the server"
LIMIT_TITLES = {"postgres": STRAIGHT, "pgbouncer": "through PgBouncer", "portcullis": "through Portcullis"}


def spent_so_far(target: Target) -> dict[str, float]:
    """CPU seconds of each party so far, for differences. The client's are those of all children that this process has waited
    for, so between two readings nobody but the client may end."""
    time.sleep(SETTLE_S)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = {"server": tree_seconds(target.server.pid), "client": children.ru_utime + children.ru_stime}
    if target.is_proxy:
        user, kernel = (int(ticks) for ticks in stat_fields(target.pid)[11:13])
        # The ticks are of 10 ms: they say how the clock's time is shared out.
        share = kernel / max(1, user + kernel)
        clock = cpu_seconds(target.pid)
        spent |= dict(zip(PROXY, (clock * (1 - share), clock * share)))
    return spent


def per_transaction_us(
    spent: dict[str, float], logins: dict[str, float], transactions: int, tps: float
) -> dict[str, float]:
    """Microseconds of each party for one transaction, without what coming and going costs, and of all cores while it ran."""
    shares = {name: max(0.0, spent[name] - logins[name]) * 1e6 / transactions for name in spent}
    return shares | {ALL: len(os.sched_getaffinity(0)) * 1e6 / tps}


def limit_costs(runs: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    """For each case of the workload `limit`: tps and each party's microseconds, medians over the rounds. The rest is what is
    missing to all."""
    costs = {}
    for label, samples in runs.items():
        good = [run for run in samples if run["error"] is None and run["parties_us"]]
        title = LIMIT_TITLES.get(label.split(",")[0])
        if not good or title is None:
            continue
        shares = {name: median(run["parties_us"][name] for run in good) for name in good[0]["parties_us"]}
        rest = shares.pop(ALL) - sum(shares.values())
        costs[title] = {"tps": median(run["tps"] for run in good), **shares, REST: max(0.0, rest)}
    return costs


def limit_ratios(costs: dict[str, dict[str, float]]) -> dict[str, float]:
    """Throughput through each proxy as a share of what the server does when sent the same bytes."""
    straight = costs.get(STRAIGHT)
    return {title: through["tps"] / straight["tps"] for title, through in costs.items() if straight and title != STRAIGHT}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all threads: its CPU clock (clock_getcpuclockid(3), whose id on Linux is
    made of the pid and CPUCLOCK_SCHED)."""
    return time.clock_gettime((~pid << 3) | 2)


def tree_seconds(parent: int) -> float:
    """CPU seconds of a process, of its children, and of the children it has waited for: all that PostgreSQL ever spent, as
    every backend is a child of the postmaster. One that ends while it is read would be missed or count twice, so then all
    is read again."""
    for _ in range(READINGS):
        living = children_of(parent)
        try:
            waited = sum(int(ticks) for ticks in stat_fields(parent)[13:15]) / os.sysconf("SC_CLK_TCK")
            spent = cpu_seconds(parent) + waited + sum(cpu_seconds(child) for child in living)
        except OSError:
            continue
        if children_of(parent) == living:
            return spent
    raise SetupError(f"processes of {parent} come and go too fast to read what they spend")


def children_of(parent: int) -> set[int]:
    """The child processes of a process, ended ones included until it waits for them."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(stat_fields(int(entry.name))[1]) == parent:
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def stat_fields(pid: int) -> list[str]:
    """proc(5), /proc/PID/stat, from the third field (the state) on: the name before it may hold spaces and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
