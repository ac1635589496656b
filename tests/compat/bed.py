"""What the suites run against: a private PostgreSQL, and Portcullis in front of it in transaction mode.

Everybody is the same superuser, because the suites make types, extensions and databases: straight to PostgreSQL
by its password, through Portcullis by a token for the same role under the `trusted` policy.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from targets import (  # noqa: E402
    Postgres, REPOSITORY, SetupError, Target, chown, find_binaries, first_line, token, write_private,
)

ROLE = "service_role"
DATABASE = "compat"
# Suites open many sessions, each in a transaction of its own.
POOL_SIZE = 40

SETUP_SQL = f"""
CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD :'role_password';
-- Settings of a session, which a superuser may have any of, are put on by the login.
CREATE ROLE portcullis_service SUPERUSER LOGIN NOINHERIT PASSWORD :'login_password';
GRANT {ROLE} TO portcullis_service;
ALTER DATABASE {DATABASE} OWNER TO {ROLE};
"""


class Direct(Postgres):
    """The server itself."""

    name = "direct"

    def __init__(self, folder: Path, binaries: Path):
        super().__init__(folder, binaries)
        self.user, self.database = ROLE, DATABASE
        self.login_password = secrets.token_hex(16)

    def command(self) -> list[str]:
        """With two-phase commit, which is off by default."""
        return [*super().command(), "--max_prepared_transactions=20"]

    def run_sql(self, text: str, database: str = "postgres") -> None:
        """Runs statements as the superuser."""
        self._run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", database, admin=True, text=text)

    def fill(self) -> None:
        """Makes the role, the login and the database; call after the process is up."""
        self._run("createdb", DATABASE, admin=True)
        self._run(
            "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--set=role_password={self.password}",
            f"--set=login_password={self.login_password}", "postgres", admin=True, text=SETUP_SQL,
        )


class Through(Target):
    """Portcullis in front of it. Every database is a tenant of its own name."""

    name = "through"
    # The binary may lie where only its builder may go.
    runs_as_root = True

    def __init__(self, folder: Path, postgres: Direct, program: Path, pool_mode: str):
        super().__init__(folder)
        self.program = program
        # Named only where it is not the default.
        mode = "" if pool_mode == "transaction" else f'pool_mode = "{pool_mode}"\n'
        key = secrets.token_hex(32)
        self.user, self.database = ROLE, DATABASE
        self.password = token(key, {"iss": "compat", "aud": "compat", "sub": "suite", "role": ROLE,
                                    "exp": int(time.time()) + 86_400})
        self.config = folder / "portcullis.toml"
        write_private(folder / "key", key)
        write_private(folder / "login", postgres.login_password)
        write_private(self.config, f"""[listen]
address = "127.0.0.1:{self.port}"
[log]
level = "info"
[pool]
default_pool_size = {POOL_SIZE}
{mode}[servers.main]
host = "127.0.0.1"
port = {postgres.port}
[logins.service]
user = "portcullis_service"
password = {{ file = "login" }}
[roles.{ROLE}]
login = "service"
policy = "trusted"
any_tenant = true
[auth]
role_claim = "role"
[[auth.issuers]]
issuer = "compat"
audience = ["compat"]
algorithms = ["HS256"]
secret = {{ file = "key" }}
[identity.settings]
"app.user_id" = {{ claim = "sub" }}
[[tenants.pattern]]
match = "*"
server = "main"
database = "{{tenant}}"
""")

    def command(self) -> list[str]:
        return [str(self.program), "serve", "--config", str(self.config)]

    def version(self) -> str:
        return first_line([str(self.program), "--version"])


def gather_binaries(folder: Path, given: str | None) -> Path:
    """A folder of links to the server programs of `given`, and to the client programs that it lacks."""
    usual = find_binaries(None)
    if given is None:
        return usual
    gathered = folder / "bin"
    gathered.mkdir()
    for place in (Path(given).resolve(), usual):
        for program in place.iterdir():
            if not (gathered / program.name).exists():
                (gathered / program.name).symlink_to(program)
    return gathered


def find_portcullis() -> Path:
    """The binary to test: the debug build, whose overflow checks are on, or the release build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    for kind in ("debug", "release"):
        program = target / kind / "portcullis"
        if program.exists():
            return program
    raise SetupError("no binary to test: cargo build")


__all__ = [
    "DATABASE", "Direct", "ROLE", "SetupError", "Target", "Through", "chown", "find_portcullis",
    "gather_binaries",
]
