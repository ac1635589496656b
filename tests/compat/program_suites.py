"""PostgreSQL's own programs as suites: pgbench, and psql with scripts of ours."""

from __future__ import annotations

import difflib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

from outcome import FAILED, PASSED, SKIPPED, Outcome, Outcomes
from workshop import TEST_TIMEOUT_S, Suite, Workshop

HERE = Path(__file__).resolve().parent


class Pgbench(Suite):
    """pgbench's built-in scripts in each protocol: a run passes if no transaction fails."""

    name, title = "pgbench", "pgbench (3 protocols × 3 scripts)"

    def install(self, shop: Workshop) -> None:
        """Comes with PostgreSQL."""

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        program = str(shop.binaries / "pgbench")
        outcomes = {"initialize": self.program([program, "--initialize", "--quiet"], shop.cache, environment)}
        for protocol in ("simple", "extended", "prepared"):
            for script in ("tpcb-like", "simple-update", "select-only"):
                command = [program, f"--protocol={protocol}", f"--builtin={script}", "--client=8", "--transactions=100"]
                outcomes[f"{protocol}/{script}"] = self.program(command, shop.cache, environment)
        return outcomes


class Psql(Suite):
    """psql with scripts of ours: what it prints through Portcullis must be what it prints directly.

    A script's first lines may say `-- options: …` for psql's command line, `-- needs: 16` for the oldest psql that
    can run it, and `-- hide: …` for a regular expression of what may differ. `complete` presses the Tab key.
    """

    name, title = "psql", "psql (scripts of ours)"
    # What no two runs have in common.
    hidden = (r"Time: [\d.,]+ ms.*", r"psql_(direct|through)", r'port "\d+"', r"(Server Port|Backend PID) +\| \d+", r"\(every [^)]*\)", r"\b\w{3} \w{3} +\d+ [\d:]+ \d{4}\b")

    def install(self, shop: Workshop) -> None:
        self.folder = shop.bench(self.name)
        shutil.copytree(HERE / "psql", self.folder, dirs_exist_ok=True)
        self.printed: dict[str, str] = {}

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        environment = {**environment, "PGAPPNAME": "psql", "LC_ALL": "C.UTF-8", "PSQLRC": "/dev/null", "PAGER": "", "COLUMNS": "120"}
        program = str(shop.binaries / "psql")
        has = int(re.search(r"\d+", subprocess.check_output([program, "--version"], text=True))[0])
        outcomes: Outcomes = {}
        for script in sorted(self.folder.glob("*.sql")):
            if only and only not in script.name:
                continue
            said = dict(re.findall(r"^-- (options|needs|hide): (.*)$", script.read_text(), re.M))
            if has < int(said.get("needs", 0)):
                outcomes[script.name] = Outcome(SKIPPED)
                continue
            command = [program, "--no-psqlrc", "--echo-all", *said.get("options", "").split(), "--file", script.name]
            done = self.program(command, self.folder, environment)
            outcomes[script.name] = self.compare(script.name, self.clean(done.text, said.get("hide")), label)
        for typed, seen in (("TABLE psql_compl", "completed by psql"), ("SELECT * FROM psql_compl", "completed by psql"),
                            ("\\d psql_compl", "completed_column"), ("ALTER TABLE psql_completed DROP COLUMN completed_col", "ALTER TABLE")):
            if not only or only in "complete":
                outcomes[f"complete {typed}"] = self.complete([program, "--no-psqlrc"], environment, typed, seen)
        return outcomes

    def clean(self, text: str, hide: str | None) -> str:
        """What was printed without what differs each time."""
        for pattern in (*self.hidden, *([hide] if hide else [])):
            text = re.sub(pattern, "…", text)
        return text

    def compare(self, name: str, printed: str, label: str) -> Outcome:
        """Whether a script printed what it printed directly; the first run is the direct one."""
        wanted = self.printed.setdefault(name, printed)
        if re.search(r"connection to server|server closed the connection|timed out", printed):
            return Outcome(FAILED, printed)
        return Outcome(PASSED) if printed == wanted else Outcome(FAILED, difference(wanted, printed, label))

    def complete(self, command: list[str], environment: dict[str, str], typed: str, seen: str) -> Outcome:
        """Types the beginning of a line, Tab and Enter at a terminal."""
        subprocess.run(command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                       input="DROP TABLE IF EXISTS psql_completed; CREATE TABLE psql_completed (completed_column text);\n"
                             "INSERT INTO psql_completed VALUES ('completed by psql');\n")
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(command, env={**environment, "TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
        os.close(theirs)
        try:
            shown = read_until(ours, "=# ")
            os.write(ours, f"{typed}\t".encode())
            shown += read_until(ours, "completed")
            os.write(ours, b"\n" if typed.startswith("\\") else b";\n")
            shown = read_until(ours, seen)
            return Outcome(PASSED if seen in shown else FAILED, shown)
        finally:
            shell.kill()
            shell.wait()
            os.close(ours)


def read_until(terminal: int, seen: str) -> str:
    """What a terminal shows until `seen` has come, or nothing comes for long."""
    shown, deadline = "", time.monotonic() + TEST_TIMEOUT_S / 2
    while seen not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                break
    return shown


def difference(wanted: str, printed: str, label: str) -> str:
    """The lines that differ."""
    lines = difflib.unified_diff(wanted.splitlines(), printed.splitlines(), "direct", label, lineterm="", n=1)
    return "\n".join(lines)
