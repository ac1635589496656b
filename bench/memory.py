"""What a fleet costs a proxy that has nothing to do: memory for idle clients, memory and start time for tenants."""

from __future__ import annotations

import time

from measure import resident_kib
from targets import Portcullis, Target
from wire import Session

WARM_UP_CLIENTS = 20
SETTLE_S = 1.0
# A loopback address has some 28,000 ports for connections to one other: the clients come from several.
ADDRESSES = 4
AFTER_S = 10.0


def idle_memory(target: Target, clients: int) -> dict[str, float]:
    """KiB of resident memory per idle client of a fresh process, before and after its first query; and MiB of the process
    before they come, while they are there, at once when they have left, and a while later."""
    target.stop()
    target.start()
    sessions: list[Session] = []
    try:
        # What the first clients bring about (pool, caches, threads) is no cost of one client more.
        sessions += [target.session() for _ in range(WARM_UP_CLIENTS)]
        query_at_once(sessions)
        empty = resident_kib(target.pid)
        sessions += [target.session(f"127.0.0.{1 + number % ADDRESSES}") for number in range(clients)]
        time.sleep(SETTLE_S)
        logged_in = resident_kib(target.pid)
        query_at_once(sessions)
        used = resident_kib(target.pid)
    finally:
        for session in sessions:
            session.close()
    time.sleep(SETTLE_S)
    left = resident_kib(target.pid)
    time.sleep(AFTER_S)
    return {
        "clients": clients,
        "kib_before_first_query": (logged_in - empty) / clients,
        "kib_after_first_query": (used - empty) / clients,
        "mib_empty": empty / 1024,
        "mib_with_clients": used / 1024,
        "mib_when_left": left / 1024,
        "mib_later": resident_kib(target.pid) / 1024,
    }


def query_at_once(sessions: list[Session]) -> None:
    """One query from every session at the same time, so that most of them wait for the pool; then idleness."""
    for session in sessions:
        session.send("SELECT 1")
    for session in sessions:
        session.receive()
    time.sleep(SETTLE_S)


def directory_figures(target: Portcullis, tenants: int) -> dict[str, float]:
    """Seconds from the start of the process to a client's first answer, and MiB of resident memory then, with so many
    tenants configured; and both with one."""
    figures = {"tenants": tenants}
    for name, count in (("one", 1), ("all", tenants)):
        target.stop()
        target.list_tenants(count)
        began = time.monotonic()
        target.start()
        figures[f"{name}_start_s"] = time.monotonic() - began
        time.sleep(SETTLE_S)
        figures[f"{name}_mib"] = resident_kib(target.pid) / 1024
    target.stop()
    target.list_tenants(0)
    target.start()
    return figures
