"""Two tenants on one budget: what the quiet one waits for, alone and beside one that floods."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measure import percentile
from targets import SetupError, Target
from workloads import CAP, CAPPED, NOISY, TENANT

QUIET_CLIENTS = 4
FLOOD_CLIENTS = 200
# Until the flood's logins are done and its queue is as long as it gets.
FLOOD_HEAD_START_S = 2.0
# What a flood leaves behind, such as new server logins, is over by then.
SETTLE_S = 1.0
SEED = 7

# Each waits 5 to 15 ms as for a lock or a disk, holding its connection and no core: what is measured is the queue for
# connections, and not how the machine shares its cores.
WAITS = """\\set ms random(5, 15)
SELECT pg_sleep(:ms / 1000.0);
"""
# Takes no time but the cores', which the flood, the servers and the quiet tenant's own clients share.
READS = """\\set aid random(1, 100000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
"""

# By kind of flood, way and situation (alone, beside): the quiet tenant's figures.
Fairness = dict[str, dict[str, dict[str, dict[str, float]]]]


@dataclass(frozen=True)
class Way:
    """A target, whose the flooding clients are, and where the quiet tenant goes, if not the same way."""

    target: str
    variant: str
    flood_as: str
    quiet_target: str | None = None

    @property
    def label(self) -> str:
        """As in the tables and charts."""
        return f"{self.quiet_target or self.target}, {self.variant}"


SHARED_POOL = (
    Way("pgbouncer", "one pool for both", TENANT),
    Way("portcullis", "both in one tenant's queue", TENANT),
    Way("portcullis", "a tenant each", NOISY),
)
SHARED_CORES = (
    *SHARED_POOL,
    Way("portcullis", f"a tenant each, cap of {CAP} for the flood", CAPPED),
    # What no proxy could do better: the quiet tenant passes none.
    Way("portcullis", "past the proxy that has the flood", NOISY, "postgres"),
    Way("portcullis", f"past it, cap of {CAP} for the flood", CAPPED, "postgres"),
)


@dataclass(frozen=True)
class Kind:
    """What both tenants send, how many of them the quiet one a second, and in which ways."""

    title: str
    script: str
    quiet_rate: int
    ways: tuple[Way, ...]


FLOODS = {
    "waits": Kind("5 to 15 ms each, without a core", WAITS, 80, SHARED_POOL),
    "reads": Kind("one row each, all cores busy", READS, 400, SHARED_CORES),
}


def fairness_round(pgbench: Path, targets: dict[str, Target], folder: Path, seconds: int) -> Fairness:
    """One run of each: alone and beside the flood."""
    figures: Fairness = {}
    for name, kind in FLOODS.items():
        for way in kind.ways:
            target, quiet = targets.get(way.target), targets.get(way.quiet_target or way.target)
            if target and quiet:
                alone = quiet_run(pgbench, quiet, kind, folder, seconds)
                with Flood(pgbench, target, way.flood_as, kind.script, folder, seconds):
                    beside = quiet_run(pgbench, quiet, kind, folder, seconds)
                figures.setdefault(name, {})[way.label] = {"alone": alone, "beside": beside}
    return figures


def fairness_medians(rounds: list[Fairness]) -> Fairness:
    """The medians over rounds of the same shape."""
    def over(kind: str, label: str, when: str) -> dict[str, float]:
        runs = [figures[kind][label][when] for figures in rounds]
        return {name: median(run[name] for run in runs) for name in runs[0]}

    return {kind: {label: {when: over(kind, label, when) for when in situations} for label, situations in ways.items()}
            for kind, ways in rounds[0].items()}


def quiet_run(pgbench: Path, target: Target, kind: Kind, folder: Path, seconds: int) -> dict[str, float]:
    """The quiet tenant's latency in ms: from sending a statement to its answer."""
    file, prefix = folder / "quiet.sql", folder / "quiet"
    file.write_text(kind.script)
    for old in folder.glob("quiet.*[0-9]"):
        old.unlink()
    done = subprocess.run(
        [str(pgbench), "--no-vacuum", f"--file={file}", f"--client={QUIET_CLIENTS}", f"--rate={kind.quiet_rate}",
         f"--time={seconds}", f"--random-seed={SEED}", "--log", f"--log-prefix={prefix}"],
        env={**os.environ, **target.environment()}, text=True, capture_output=True,
    )
    if done.returncode != 0:
        raise SetupError(f"{target.name}: the quiet tenant failed: {done.stderr.strip()[-300:]}")
    times = sorted(latency_us(line) for log in folder.glob("quiet.*[0-9]") for line in log.read_text().splitlines())
    return {"p50_ms": percentile(times, 0.50), "p99_ms": percentile(times, 0.99), "statements": len(times)}


def latency_us(line: str) -> int:
    """Of a line of pgbench's log with --rate (client, number, time, script, epoch, µs, lag): the time without the lag
    behind the schedule, that is from when it was sent."""
    words = line.split()
    return int(words[2]) - int(words[6])


class Flood:
    """Clients that send statement after statement, while the context lasts."""

    def __init__(self, pgbench: Path, target: Target, tenant: str, script: str, folder: Path, seconds: int):
        file = folder / "flood.sql"
        file.write_text(script)
        self.log = folder / "flood.log"
        self.command = [str(pgbench), "--no-vacuum", f"--file={file}", f"--client={FLOOD_CLIENTS}", "--jobs=2",
                        f"--time={2 * seconds + 60}"]
        self.environment = {**os.environ, **target.environment(), **target.tenant_environment(tenant)}

    def __enter__(self) -> "Flood":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        time.sleep(FLOOD_HEAD_START_S)
        self._must_run()
        return self

    def __exit__(self, *_exception) -> None:
        try:
            self._must_run()
        finally:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            time.sleep(SETTLE_S)

    def _must_run(self) -> None:
        # Figures beside a flood that has ended would look very fair.
        if self.process.poll() is not None:
            raise SetupError(f"the flood ended: {self.log.read_text(errors='replace')[-300:]}")
