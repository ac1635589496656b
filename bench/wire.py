"""A PostgreSQL client of a few lines: log in, run a simple query, stay idle.

Enough to hold a thousand idle sessions open and to ask whether a target answers rightly; pgbench does
the measured work.
"""

from __future__ import annotations

import hashlib
import socket
import struct

# Message formats: PostgreSQL manual, 55.7.
PROTOCOL_3_0 = 196608
AUTH_OK, AUTH_CLEARTEXT, AUTH_MD5 = 0, 3, 5


class WireError(Exception):
    """The server refused, or said something this client does not speak."""


class Session:
    """One logged-in connection over TCP."""

    def __init__(self, port: int, user: str, database: str, password: str, timeout_s: float = 30.0,
                 source: str = "127.0.0.1"):
        self.user, self.password = user, password
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        body = struct.pack("!i", PROTOCOL_3_0)
        for key, value in (("user", user), ("database", database), ("application_name", "bench")):
            body += key.encode() + b"\0" + value.encode() + b"\0"
        body += b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self._until_ready()

    def query(self, sql: str) -> list[list[str | None]]:
        """The rows of a simple query, as text; of several statements, all rows in order."""
        self.send(sql)
        return self.receive()

    def send(self, sql: str) -> None:
        """The first half of `query`."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)

    def receive(self) -> list[list[str | None]]:
        """The second half of `query`."""
        return self._until_ready()

    def close(self) -> None:
        """Says goodbye and closes the socket."""
        try:
            self.socket.sendall(b"X" + struct.pack("!i", 4))
        except OSError:
            pass
        self.socket.close()

    def _until_ready(self) -> list[list[str | None]]:
        rows: list[list[str | None]] = []
        error = None
        while True:
            kind, body = self._message()
            if kind == b"R":
                self._authenticate(body)
            elif kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                error = WireError(_error_text(body))
                if b"FATAL" in body:
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def _authenticate(self, body: bytes) -> None:
        (method,) = struct.unpack_from("!i", body)
        if method == AUTH_OK:
            return
        if method == AUTH_CLEARTEXT:
            answer = self.password.encode()
        elif method == AUTH_MD5:
            first = hashlib.md5((self.password + self.user).encode()).hexdigest()
            answer = b"md5" + hashlib.md5(first.encode() + body[4:8]).hexdigest().encode()
        else:
            raise WireError(f"authentication method {method} is not spoken here")
        self.socket.sendall(b"p" + struct.pack("!i", len(answer) + 5) + answer + b"\0")

    def _message(self) -> tuple[bytes, bytes]:
        header = self._bytes(5)
        (length,) = struct.unpack_from("!i", header, 1)
        return header[:1], self._bytes(length - 4)

    def _bytes(self, count: int) -> bytes:
        while len(self.buffer) < count:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise WireError("the connection was closed")
            self.buffer += chunk
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


def _row(body: bytes) -> list[str | None]:
    (columns,) = struct.unpack_from("!h", body)
    values, at = [], 2
    for _ in range(columns):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values


def _error_text(body: bytes) -> str:
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    parts = [fields.get(b"S", "ERROR"), fields.get(b"C", ""), fields.get(b"M", "")]
    hint = fields.get(b"H")
    return " ".join(part for part in parts if part) + (f" ({hint})" if hint else "")
