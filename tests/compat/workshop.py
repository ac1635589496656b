"""Where suites are installed and run, and what every suite can do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bed import SetupError
from outcome import FAILED, PASSED, Outcome, Outcomes, from_junit

# A suite that hangs must not stop the others.
SUITE_TIMEOUT_S = 3600
TEST_TIMEOUT_S = 60


class Workshop:
    """Where suites are installed and run: a Python environment, checkouts, reports."""

    def __init__(self, cache: Path, binaries: Path, sources: Path | None, pool_mode: str):
        self.cache, self.binaries, self.pool_mode = cache.resolve(), binaries, pool_mode
        self.sources = sources.resolve() if sources else None
        self.python = self.cache / "venv" / "bin" / "python"
        self.cache.mkdir(parents=True, exist_ok=True)

    def pip(self, *packages: str) -> None:
        """Installs into the Python environment."""
        if not self.python.exists():
            self.command(sys.executable, "-m", "venv", str(self.cache / "venv"))
        self.command(str(self.python), "-m", "pip", "install", "--quiet", *packages)

    def sdist(self, package: str, version: str) -> Path:
        """The folder of a package's source distribution."""
        folder = self.cache / "sdist" / f"{package}-{version}"
        if not folder.exists():
            archives = self.cache / "archives"
            self.command(str(self.python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package,
                         "--dest", str(archives), f"{package}=={version}")
            shutil.unpack_archive(archives / f"{package}-{version}.tar.gz", folder.parent, filter="data")
        return folder

    def checkout(self, name: str, repository: str, tag: str) -> Path:
        """The folder of a repository's checkout: one of --sources, or a clone."""
        if self.sources and (self.sources / name).exists():
            return self.sources / name
        folder = self.cache / "checkout" / f"{name}-{tag.replace('/', '-')}"
        if not folder.exists():
            self.command("git", "clone", "--quiet", "--depth=1", f"--branch={tag}", repository, str(folder))
        return folder

    def crate(self, package: str, version: str) -> Path:
        """The folder of a crate as it is published, which cargo fetches as a dependency of a package that is nothing else."""
        folder = self.cache / "crate" / f"{package}-{version}"
        if not folder.exists():
            asking = self.cache / "crate" / f"asks-for-{package}"
            (asking / "src").mkdir(parents=True, exist_ok=True)
            (asking / "src" / "lib.rs").touch()
            (asking / "Cargo.toml").write_text(
                f'[package]\nname = "asks"\nversion = "0.0.0"\n[dependencies]\n{package} = "={version}"\n[workspace]\n')
            told = subprocess.run(["cargo", "metadata", "--format-version=1"], cwd=asking, stdout=subprocess.PIPE)
            if told.returncode != 0:
                raise SetupError(f"cargo does not find {package} {version}")
            found = next(entry for entry in json.loads(told.stdout)["packages"] if entry["name"] == package)
            shutil.copytree(Path(found["manifest_path"]).parent, folder)
        return folder

    def bench(self, suite: str) -> Path:
        """An empty folder to lay a suite out in."""
        folder = self.cache / "run" / suite
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def command(self, *command: str, folder: Path | None = None) -> None:
        """Runs a step of the installation."""
        done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise SetupError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")

    def log(self, suite: Suite, label: str) -> Path:
        """Where a suite's output is kept."""
        return self.cache / f"{suite.name}-{label}.log"


class Suite:
    """Other people's tests of a driver."""

    name = title = ""
    # Run by the superuser in each of the suite's databases before it starts.
    setup_sql = ""

    def install(self, shop: Workshop) -> None:
        """Brings driver and tests into the workshop."""
        raise NotImplementedError

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        """Runs the tests against what libpq's variables in `environment` name."""
        raise NotImplementedError

    def output(self, shop: Workshop, command: list[str], environment: dict[str, str], label: str, folder: Path) -> str:
        """What a command prints, which is also kept. Its exit code says nothing: some tests fail directly too."""
        with shop.log(self, label).open("wb") as log:
            try:
                subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               timeout=SUITE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                print(f"{self.name}: stopped after {SUITE_TIMEOUT_S} s")
        return shop.log(self, label).read_text(errors="replace")

    @staticmethod
    def program(command: list[str], folder: Path, environment: dict[str, str]) -> Outcome:
        """A test that is a program: it passes if it exits with 0 in time."""
        try:
            done = subprocess.run(command, cwd=folder, env=environment, text=True, timeout=TEST_TIMEOUT_S, errors="replace",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired as error:
            return Outcome(FAILED, f"timed out\n{(error.stdout or b'').decode(errors='replace')}")
        return Outcome(PASSED if done.returncode == 0 else FAILED, done.stdout)

    def pytest(self, shop: Workshop, folder: Path, environment: dict[str, str], label: str, *options: str) -> Outcomes:
        """Runs pytest in `folder`."""
        report = shop.cache / f"{self.name}-{label}.xml"
        report.unlink(missing_ok=True)
        command = [str(shop.python), "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:randomly", "--tb=short",
                   f"--timeout={TEST_TIMEOUT_S}", f"--junitxml={report}", *options]
        self.output(shop, command, environment, label, folder)
        return from_junit(report) if report.exists() else {}
