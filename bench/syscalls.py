"""Counts a proxy's system calls, and shows those of one transaction."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

from targets import SetupError

# The message that ends a transaction, as strace prints it: ReadyForQuery, idle (PostgreSQL manual, "Message Formats").
READY = 'Z\\0\\0\\0\\5I"'
# More than one transaction shows of itself; a page of rows is cut.
SHOWN_LINES = 40
SHOWN_BYTES = 128


class Tracer:
    """strace on a process and all its threads."""

    def __init__(self, pid: int, report: Path, *options: str):
        program = shutil.which("strace")
        if program is None:
            raise SetupError("strace is not installed: apt-get install strace (or leave out --syscalls)")
        self.report = report
        self.process = subprocess.Popen(
            [program, *options, "-f", "-o", str(report), "-p", str(pid)], stderr=subprocess.PIPE, text=True
        )
        # It says "attached" once it is.
        first = self.process.stderr.readline()
        if "attached" not in first:
            self.process.kill()
            raise SetupError(f"strace cannot attach: {first.strip()}")

    def stop(self) -> str:
        """What strace wrote since the start."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        return self.report.read_text(errors="replace")


def counting(pid: int, report: Path) -> Tracer:
    """Counts calls; for `parse_strace`."""
    return Tracer(pid, report, "-c")


def writing(pid: int, report: Path) -> Tracer:
    """Writes every call, with the addresses of sockets; for `one_transaction`."""
    return Tracer(pid, report, "-yy", "-s", "4096")


def parse_strace(report: str) -> dict[str, int]:
    """Calls by name from the table of `strace -c`: % time, seconds, usecs/call, calls, [errors,] name."""
    calls = {}
    for line in report.splitlines():
        words = line.split()
        if len(words) in (5, 6) and words[3].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    return calls


def one_transaction(trace: str, client_port: int, server_port: int) -> list[str]:
    """The calls of the last whole transaction of a trace: from the client's statement to its ReadyForQuery, and the wait for
    the next. Sockets go by whose they are."""
    calls = [name_socket(call, client_port, server_port) for call in joined(trace)]
    ends = [at for at, call in enumerate(calls) if call.startswith("sendto(client") and READY in call]
    if len(ends) < 2:
        return []
    first, last = ends[-2] + 1, ends[-1] + 1
    while first < last and not calls[first].startswith("recvfrom(client"):
        first += 1
    while last < len(calls) and calls[last].startswith("epoll_wait"):
        last += 1
    shown = [shortened(call) for call in calls[first:last]]
    return shown[:SHOWN_LINES] + ([f"… and {len(shown) - SHOWN_LINES} more"] if len(shown) > SHOWN_LINES else [])


def joined(trace: str) -> list[str]:
    """The calls in order of their ends, those whole again that another thread's came into the middle of."""
    calls, begun = [], {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            calls.append(begun.pop(thread, "") + resumed[1])
        else:
            calls.append(call)
    return calls


def name_socket(call: str, client_port: int, server_port: int) -> str:
    """`recvfrom(9<TCP:[ours->theirs]>, …` with the name of who is at the other end."""
    call = re.sub(rf"\b\d+<TCP:\[\S+:{client_port}->\S+?\]>", "client", call)
    return re.sub(rf"\b\d+<TCP:\[\S+->\S+:{server_port}\]>", "server", call)


def shortened(call: str) -> str:
    """A call without flags, addresses and structures. Of a body what can be read; a dot stands for bytes that cannot."""
    if call.startswith("epoll_wait"):
        return "epoll_wait(…)" + call[call.rindex(" = "):]
    parts = re.fullmatch(r'(\w+\(\w+, )"((?:[^"\\]|\\.)*)"[^"]*( = .*)', call)
    if parts is None:
        return re.sub(r", 0x[^)]*\)", ", …)", re.sub(r"<[^<>]*>", "", call))
    body = re.sub(r"(?:\\(?:[0-7]{1,3}|[tnvfre]))+", "·", parts[2])
    body = body if len(body) <= SHOWN_BYTES else body[:SHOWN_BYTES] + "…"
    return f'{parts[1]}"{body}"){parts[3]}'
