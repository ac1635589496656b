"""What pgbench cannot measure: COPY in both directions, and TLS handshakes."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path

from parties import cpu_seconds
from targets import SetupError, Target
from workloads import COPY_IN, COPY_OUT

# Negotiation of TLS: PostgreSQL manual, "SSL Session Encryption".
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
STARTUP_VERSION = 196608
WARM_UP_HANDSHAKES = 50


def copy_figures(psql: Path, target: Target, folder: Path) -> dict[str, dict[str, float]]:
    """MB/s, and MB per second of the proxy's CPU, of one COPY in each direction. MB are 1,000,000 bytes."""
    data = folder / "copied.txt"
    figures = {}
    for direction, statement in (("out", COPY_OUT), ("in", COPY_IN)):
        reads = direction == "in"
        with data.open("rb" if reads else "wb") as file:
            before, began = cpu_seconds(target.pid), time.monotonic()
            done = subprocess.run(
                [str(psql), "--no-psqlrc", "--quiet", "--command", statement],
                env={**os.environ, **target.environment()}, stderr=subprocess.PIPE, text=True,
                stdin=file if reads else subprocess.DEVNULL, stdout=subprocess.DEVNULL if reads else file,
            )
            took, spent = time.monotonic() - began, cpu_seconds(target.pid) - before
        if done.returncode != 0:
            raise SetupError(f"{target.name}: {statement}: {done.stderr.strip()}")
        megabytes = data.stat().st_size / 1e6
        figures[direction] = {"mb_per_s": megabytes / took}
        if target.is_proxy:
            figures[direction]["mb_per_cpu_s"] = megabytes / spent
    return figures


def handshake_figures(target: Target, count: int) -> dict[str, dict[str, float]]:
    """TLS 1.3 handshakes, full and resumed, one after the other, each up to the server's first word: how many a second of the
    proxy's CPU is good for."""
    context = ssl.create_default_context()
    # It is the cost that matters here; the certificate is the bench's own.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    figures = {}
    for kind in ("full", "resumed"):
        session = None
        for number in range(WARM_UP_HANDSHAKES + count):
            if number == WARM_UP_HANDSHAKES:
                before, began = cpu_seconds(target.pid), time.monotonic()
            fresh, resumed = handshake(target, context, session)
            if number >= WARM_UP_HANDSHAKES and resumed != (kind == "resumed"):
                raise SetupError(f"{target.name}: a {kind} handshake was none")
            session = fresh if kind == "resumed" else None
        took, spent = time.monotonic() - began, cpu_seconds(target.pid) - before
        figures[kind] = {
            "per_s": count / took,
            "per_cpu_s": count / spent,
        }
    return figures


def handshake(target: Target, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession, bool]:
    """One connection up to the request for a password, behind which come the tickets; and whether it was resumed."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as plain:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise SetupError(f"{target.name} speaks no TLS")
        with context.wrap_socket(plain, session=session) as encrypted:
            body = struct.pack("!i", STARTUP_VERSION)
            for word in ("user", target.user, "database", target.database, ""):
                body += word.encode() + b"\0"
            encrypted.sendall(struct.pack("!i", len(body) + 4) + body)
            encrypted.recv(64)
            return encrypted.session, encrypted.session_reused
