"""What both Python suites share: the environment they are given, and how checks are run and reported.

Environment: URL_ALICE, URL_BOB, URL_CAROL (two users of acme, one of globex), URL_FOREIGN and URL_EXPIRED
(tokens that must be refused), URL_SERVICE (a trusted role in session mode), POOL_SIZE (0: straight to Postgres, the control run), RUN (a name of its own for
this run's rows), CLIENTS_FILE (JSON: [{"user", "tenant", "url"}, …]); ONLY (names of checks, optional).
Each check prints one line: `ok NAME` or `FAIL NAME: reason`. The exit code is 1 if any failed.
"""

import asyncio
import faulthandler
import hashlib
import json
import os
import sys
import time
import traceback

ALICE = os.environ["URL_ALICE"]
BOB = os.environ["URL_BOB"]
CAROL = os.environ["URL_CAROL"]
FOREIGN = os.environ.get("URL_FOREIGN")
EXPIRED = os.environ.get("URL_EXPIRED")
SERVICE = os.environ.get("URL_SERVICE")
POOL_SIZE = int(os.environ["POOL_SIZE"])
DIRECT = POOL_SIZE == 0
RUN = os.environ["RUN"]
ONLY = os.environ.get("ONLY", "").split()
CLIENTS = json.load(open(os.environ["CLIENTS_FILE"]))

COPY_ROWS = 100_000
BIG = 64 * 1024 * 1024
TURNS = 5
SECONDS = 60

TITLES = {
    "alice": ["alice one", "alice two"],
    "bob": ["bob one", "bob three", "bob two"],
    "carol": ["carol one"],
}

checks = []


def check(function):
    """Registers a check; its name is the function's."""
    checks.append(function)
    return function


def through_proxy(function):
    """A check that only means something through the proxy."""
    return function if DIRECT else check(function)


def equal(got, expected, what=""):
    """Like assert, with both sides in the reason."""
    if got != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def copy_line(n):
    """Row n of the bulk copies, without its line break."""
    return f"row {n} \u00e9\u4e2d of {RUN}"


def copy_checksum():
    """md5 over all rows in order, as the SQL side computes it."""
    digest = hashlib.md5()
    for n in range(COPY_ROWS):
        digest.update(copy_line(n).encode())
    return digest.hexdigest()


def big_text():
    """64 MiB without a period that a buffer's size could hide."""
    block = hashlib.sha256(RUN.encode()).hexdigest() + "-"
    return (block * (BIG // len(block) + 1))[:BIG]


class Crossing(AssertionError):
    """A row of somebody else was seen."""


def expect_own(client, rows):
    """Each row: tenant of the row, what its writer called itself, whose session the server thinks this is."""
    mine = f"{client['user']}@{client['tenant']}"
    for tenant, note, session in rows:
        if tenant != client["tenant"] or not note.endswith("@" + client["tenant"]) or session != mine:
            raise Crossing(f"{mine} saw a row of {tenant} written by {note}, in a session of {session}")


async def together(coroutines):
    """Runs all; the first failure wins, but none is left running."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def run_one(function):
    start = time.monotonic()
    try:
        await asyncio.wait_for(function(), SECONDS)
    except (TimeoutError, asyncio.TimeoutError):
        print(f"FAIL {function.__name__}: not done within {SECONDS} s", flush=True)
        return False
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(where) if frame.filename.endswith("_suite.py")), 0)
        reason = " ".join(f"{type(error).__name__} at line {line}: {error}".split())
        print(f"FAIL {function.__name__}: {reason[:600]}", flush=True)
        return False
    print(f"ok {function.__name__} ({time.monotonic() - start:.2f} s)", flush=True)
    return True


def main():
    """Runs every check, or those that ONLY names."""
    # Whatever hangs below asyncio ends here, with a stack.
    faulthandler.dump_traceback_later(SECONDS * 4, exit=True)
    chosen = [function for function in checks if not ONLY or function.__name__ in ONLY]

    async def run_all():
        return [await run_one(function) for function in chosen]

    results = asyncio.run(run_all())
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.flush()
    # A connection stuck in a finalizer must not hold up the exit.
    os._exit(0 if results and all(results) else 1)
