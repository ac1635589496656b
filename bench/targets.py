"""Starts and stops what is measured: a private PostgreSQL, PgBouncer and Portcullis in front of it."""

from __future__ import annotations

import base64
import glob
import hashlib
import hmac
import json
import os
import pwd
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from wire import Session, WireError
from workloads import CAP, CAPPED, NOISY, PREPARING, ROLE, SCALE, SETUP_SQL, TENANT, USER

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
# More than any workload has.
MAX_CLIENTS = 30_000


class SetupError(Exception):
    """Something is missing or does not start; the text says what to do."""


class Target:
    """A server that pgbench can be pointed at, as a child process of this one."""

    name = ""
    is_proxy = True
    # PostgreSQL and PgBouncer refuse to run as root.
    runs_as_root = False
    # Where the statements are run in the end.
    server: Target

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.user = self.database = self.password = ""
        self.process: subprocess.Popen | None = None
        self.log = folder / f"{self.name}.log"

    def command(self) -> list[str]:
        """The command line that runs in the foreground."""
        raise NotImplementedError

    def version(self) -> str:
        """The version, for the report."""
        raise NotImplementedError

    def lacks(self, protocol: str) -> str | None:
        """Why a protocol cannot be measured, if it cannot."""
        return None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Starts the process and waits until a login and a query succeed."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                **({} if self.runs_as_root else as_user()),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self.probe()
            except (OSError, WireError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    raise SetupError(f"{self.name} did not start: {error}\n{tail}") from error
                time.sleep(0.02)

    def probe(self) -> None:
        """Logs in and asks something; raises if that fails."""
        session = self.session()
        try:
            session.query("SELECT 1")
        finally:
            session.close()

    def stop(self) -> None:
        """Ends the process, by force if it will not go."""
        if self.process is None:
            return
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            self.process.send_signal(sign)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def session(self, source: str = "127.0.0.1") -> Session:
        """A session of the bench's own client, from an address of this machine."""
        return Session(self.port, self.user, self.database, self.password, source=source)

    def tenant_environment(self, tenant: str) -> dict[str, str]:
        """What pgbench needs besides to come as somebody of another tenant, where the target knows tenants."""
        return {}

    def environment(self) -> dict[str, str]:
        """What pgbench needs to reach it."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.database,
            "PGPASSWORD": self.password,
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }


class Postgres(Target):
    """The server itself, reached without a proxy as an application's own login."""

    name = "postgres"
    is_proxy = False

    def __init__(self, folder: Path, binaries: Path):
        super().__init__(folder)
        self.server = self
        self.binaries = binaries
        self.data, self.sockets = folder / "data", folder / "sockets"
        self.user, self.database, self.password = "plain_app", "bench", secrets.token_hex(16)

    def prepare(self) -> None:
        """Makes the cluster; call before `start`."""
        self.sockets.mkdir(mode=0o700)
        chown(self.sockets)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8",
                  "--locale=C", f"--pgdata={self.data}")
        # Over TCP everybody shows a password, as in production; the superuser comes only by the socket, in
        # a folder nobody else may enter.
        rules = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(rules)

    def fill(self) -> None:
        """Makes roles and data; call after the process is up."""
        self._run("createdb", "bench", admin=True)
        self._run("pgbench", "--initialize", "--quiet", f"--scale={SCALE}", "bench", admin=True)
        self._run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--set=password={self.password}",
                  "bench", admin=True, text=SETUP_SQL)

    def command(self) -> list[str]:
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.sockets,
            "max_connections": 200, "shared_buffers": "256MB", "fsync": "off", "jit": "off",
            "autovacuum": "off", "log_min_messages": "fatal",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def probe(self) -> None:
        """The login does not exist yet, so that the superuser asks."""
        try:
            self._run("psql", "--no-psqlrc", "--quiet", "-c", "SELECT 1", "postgres", admin=True)
        except SetupError as error:
            raise WireError(str(error)) from error

    def version(self) -> str:
        return first_line([str(self.binaries / "postgres"), "--version"])

    def _run(self, program: str, *arguments: str, admin: bool = False, text: str | None = None) -> None:
        environment = dict(os.environ)
        if admin:
            environment.update(PGHOST=str(self.sockets), PGPORT=str(self.port), PGUSER="postgres")
        done = subprocess.run(
            [str(self.binaries / program), *arguments], input=text, text=True, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder, **as_user(),
        )
        if done.returncode != 0:
            raise SetupError(f"{program} failed:\n{done.stdout[-2000:]}")


class PgBouncer(Target):
    """PgBouncer in transaction mode with an application's own login."""

    name = "pgbouncer"

    def __init__(self, folder: Path, postgres: Postgres, pool_size: int, certificate: tuple[Path, Path]):
        super().__init__(folder)
        self.program = find_program("pgbouncer", ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer"])
        if self.program is None:
            raise SetupError("PgBouncer is not installed: apt-get install pgbouncer (or leave it out with --targets)")
        self.server = postgres
        self.user, self.database, self.password = postgres.user, postgres.database, postgres.password
        self.users, self.config = folder / "userlist.txt", folder / "pgbouncer.ini"
        write_private(self.users, f'"{self.user}" "{self.password}"\n')
        prepared = "max_prepared_statements = 200" if self._number() >= (1, 21) else ""
        write_private(self.config, f"""[databases]
{self.database} = host=127.0.0.1 port={postgres.port} dbname={postgres.database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = md5
auth_file = {self.users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = {MAX_CLIENTS}
client_tls_sslmode = allow
client_tls_cert_file = {certificate[0]}
client_tls_key_file = {certificate[1]}
log_connections = 0
log_disconnections = 0
{prepared}
""")

    def command(self) -> list[str]:
        return [self.program, "-q", str(self.config)]

    def version(self) -> str:
        return first_line([self.program, "--version"])

    def lacks(self, protocol: str) -> str | None:
        if protocol == "prepared" and self._number() < (1, 21):
            return "prepared statements in transaction mode need PgBouncer 1.21"
        return None

    def _number(self) -> tuple[int, int]:
        found = re.search(r"(\d+)\.(\d+)", self.version())
        return (int(found[1]), int(found[2])) if found else (0, 0)


class Portcullis(Target):
    """Portcullis with guard, identity and token check on; nothing is switched off for the benchmark."""

    name = "portcullis"
    # The binary may lie where only its builder may go.
    runs_as_root = True
    # What `[pool]` has besides its size.
    pool_settings = ""

    def __init__(self, folder: Path, postgres: Postgres, pool_size: int, certificate: tuple[Path, Path],
                 program: Path | None):
        super().__init__(folder)
        self.program = program or build()
        key = secrets.token_hex(32)
        self.user, self.database = ROLE, TENANT
        self.tokens = {tenant: token(key, {"iss": "bench", "aud": "bench", "sub": USER, "role": ROLE,
                                           "tenant_id": tenant, "exp": int(time.time()) + 86_400})
                       for tenant in (TENANT, NOISY, CAPPED)}
        self.password = self.tokens[TENANT]
        self.config = folder / "portcullis.toml"
        write_private(folder / "key", key)
        write_private(folder / "password", postgres.password)
        self.server, self.pool_size, self.certificate = postgres, pool_size, certificate
        self.list_tenants(0)

    def list_tenants(self, count: int) -> None:
        """Writes the configuration, with so many tenants in it that nobody visits; for the next start."""
        plans = {CAPPED: ', plan = "few"'}
        own = [f'{{ name = "{tenant}", server = "main", database = "{self.server.database}", shared = true'
               f'{plans.get(tenant, "")} }}' for tenant in self.tokens]
        fleet = (f'[[tenant]]\nname = "{name}"\nserver = "main"\ndatabase = "{name.replace("-", "_")}"\n'
                 for name in customers(count))
        write_private(self.folder / "tenants.toml", "\n".join(fleet))
        file = 'file = "tenants.toml"' if count else ""
        write_private(self.config, f"""[listen]
address = "127.0.0.1:{self.port}"
max_client_conn = {MAX_CLIENTS}
[listen.tls]
certificate = "{self.certificate[0]}"
key = "{self.certificate[1]}"
[log]
level = "warn"
[pool]
default_pool_size = {self.pool_size}
{self.pool_settings}
[servers.main]
host = "127.0.0.1"
port = {self.server.port}
[logins.app]
user = "portcullis_app"
password = {{ file = "password" }}
[roles.{ROLE}]
login = "app"
policy = "end_user"
[auth]
role_claim = "role"
tenant_claim = "tenant_id"
[[auth.issuers]]
issuer = "bench"
audience = ["bench"]
algorithms = ["HS256"]
secret = {{ file = "key" }}
[identity.settings]
"app.user_id" = {{ claim = "sub" }}
"app.tenant_id" = {{ tenant = true }}
"app.role" = {{ claim = "role" }}
[plans.few]
cap = {CAP}
[tenants]
tenant = [{", ".join(own)}]
{file}
""")

    def tenant_environment(self, tenant: str) -> dict[str, str]:
        return {"PGDATABASE": tenant, "PGPASSWORD": self.tokens[tenant]}

    def command(self) -> list[str]:
        return [str(self.program), "serve", "--config", str(self.config)]

    def version(self) -> str:
        """Says which build as well: a stale or unoptimised one gives figures that mean nothing."""
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.program.stat().st_mtime))
        kind = ", DEBUG BUILD: not a measurement" if "debug" in self.program.parts else ""
        return f"{first_line([str(self.program), '--version'])}, built {built}{kind}"


class PreparingPortcullis(Portcullis):
    """The same with `auto_prepare`."""

    name = PREPARING
    pool_settings = "auto_prepare = true"

    def __init__(self, folder: Path, *settings, **more):
        own = folder / self.name
        own.mkdir()
        super().__init__(own, *settings, **more)


def raise_file_limit() -> int:
    """As many open files as may be (`ulimit -n` is often 1024), here and in what is started; how many that is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def find_binaries(given: str | None) -> Path:
    """The folder of the PostgreSQL programs: the one given, pg_config's, or the newest known one."""
    found = shutil.which("pg_config")
    asked = [subprocess.check_output([found, "--bindir"], text=True).strip()] if found else []
    usual = sorted(glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/usr/pgsql-*/bin"),
                   key=lambda path: int(re.search(r"(\d+)/bin", path)[1]), reverse=True)
    candidates = [given] if given else asked + usual
    for folder in candidates:
        if all(os.access(Path(folder, program), os.X_OK) for program in ("initdb", "postgres", "pgbench", "psql")):
            return Path(folder)
    raise SetupError("no folder with initdb, postgres, psql and pgbench: apt-get install postgresql, or --pg-bin DIR")


def find_program(name: str, usual: list[str]) -> str | None:
    """A program on the PATH or in one of the usual places (sbin is often not on the PATH)."""
    return shutil.which(name) or next((path for path in usual if os.access(path, os.X_OK)), None)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of the bench's own, and its key: ECDSA P-256, as the public authorities give out."""
    openssl = find_program("openssl", ["/usr/bin/openssl"])
    if openssl is None:
        raise SetupError("openssl is not installed: apt-get install openssl")
    certificate, key = folder / "server.crt", folder / "server.key"
    done = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key],
        capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise SetupError(f"openssl failed: {done.stderr[-500:]}")
    for path in (certificate, key):
        chown(path)
        path.chmod(0o600)
    return certificate, key


def build() -> Path:
    """The release binary; built first if it is not there."""
    program = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release" / "portcullis"
    if not program.exists():
        print("building portcullis (cargo build --release) …", flush=True)
        if subprocess.run(["cargo", "build", "--release", "--locked"], cwd=REPOSITORY).returncode != 0:
            raise SetupError("cargo build --release failed")
    return program


def token(key: str, claims: dict) -> str:
    """A JWT signed with HS256 (RFC 7515, appendix A.1)."""
    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return signed + "." + encoded(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())


def unprivileged() -> pwd.struct_passwd | None:
    """Whom to run servers as when started as root: PostgreSQL and PgBouncer refuse to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupError("started as root, and there is neither a user postgres nor nobody to run servers as")


def as_user() -> dict:
    """Arguments of Popen that drop root."""
    who = unprivileged()
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if who else {}


def chown(path: Path) -> None:
    """Gives a file or folder to whoever runs the servers."""
    who = unprivileged()
    if who:
        os.chown(path, who.pw_uid, who.pw_gid)


def write_private(path: Path, text: str) -> None:
    """A file that only the servers' user may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    chown(path)


def customers(count: int) -> list[str]:
    """Names of tenants, as they might be called."""
    return [f"customer-{number:06}" for number in range(count)]


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_line(command: list[str]) -> str:
    """The first line a command prints, or that it prints none."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (done.stdout.strip().splitlines() or ["unknown version"])[0]
