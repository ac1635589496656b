#!/usr/bin/env python3
"""Builds the proxy with a profile of its own work: a quarter fewer instructions for each transaction.

    bench/optimize.py                    writes target/optimized/portcullis

Builds it with counters in it, has it serve the bench's workloads, and builds it again for what came of that (The rustc
book, "Profile-guided optimization"). Takes the time of two release builds and a minute. Needs what bench/run.py needs,
without PgBouncer, and LLVM's tools: rustup component add llvm-tools.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bulk import copy_figures, handshake_figures
from measure import Load, run_case
from targets import (
    REPOSITORY, Portcullis, Postgres, PreparingPortcullis, SetupError, chown, find_binaries, make_certificate, raise_file_limit,
)
from workloads import WORKLOADS

OUTPUT = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "optimized"
PROGRAM = "portcullis"
CLIENTS, THREADS, SECONDS = 32, 2, 2
POOL_SIZE = 16
HANDSHAKES = 200


class JudgingPortcullis(PreparingPortcullis):
    """Judges every statement anew: else the guard would seem to have hardly anything to do."""

    name = "judging"
    pool_settings = "[guard]\ncache_bytes = 0"


def main() -> int:
    raise_file_limit()
    try:
        merge = find_profdata()
        with tempfile.TemporaryDirectory(prefix="portcullis-profile-") as folder:
            counts = Path(folder, "counts")
            train(build(f"-Cprofile-generate={counts}", "counting"))
            profile = Path(folder, "merged.profdata")
            run([merge, "merge", f"--output={profile}", counts])
            program = build(f"-Cprofile-use={profile}", "profiled")
        print(shutil.copy2(program, OUTPUT / PROGRAM))
    except SetupError as error:
        print(f"optimize: {error}", file=sys.stderr)
        return 1
    return 0


def find_profdata() -> str:
    """LLVM's tool that adds profiles up: that of the toolchain, as another may be too old to read them."""
    sysroot = Path(output_of(["rustc", "--print", "sysroot"]))
    own = sysroot / "lib" / "rustlib" / host() / "bin" / "llvm-profdata"
    found = str(own) if own.exists() else shutil.which("llvm-profdata")
    if found is None:
        raise SetupError("llvm-profdata is not installed: rustup component add llvm-tools")
    return found


def host() -> str:
    """The machine's target triple."""
    lines = output_of(["rustc", "--version", "--verbose"]).splitlines()
    return next(line.removeprefix("host: ") for line in lines if line.startswith("host: "))


def build(flag: str, name: str) -> Path:
    """The release binary, built with one more flag of rustc's."""
    # For a target that is named, the flag is not used on what runs during the build.
    target, folder = host(), OUTPUT / name
    flags = f"{os.environ.get('RUSTFLAGS', '')} {flag}".strip()
    run(["cargo", "build", "--release", "--locked", "--bin", PROGRAM, "--target", target, "--target-dir", folder],
        cwd=REPOSITORY, env={**os.environ, "RUSTFLAGS": flags})
    return folder / target / "release" / PROGRAM


def train(program: Path) -> None:
    """Has the binary do what the bench measures; it writes its counts when it ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-training-")))
        chown(folder)
        binaries = find_binaries(None)
        postgres = Postgres(folder, binaries)
        postgres.prepare()
        postgres.start()
        stack.callback(postgres.stop)
        postgres.fill()
        certificate = make_certificate(folder)
        proxies = [kind(folder, postgres, POOL_SIZE, certificate, program)
                   for kind in (Portcullis, PreparingPortcullis, JudgingPortcullis)]
        for proxy in proxies:
            proxy.start()
            stack.callback(proxy.stop)
            serve(proxy, binaries, folder)


def serve(proxy: Portcullis, binaries: Path, folder: Path) -> None:
    """Every workload that is measured, once."""
    load = Load(CLIENTS, THREADS, SECONDS)
    for workload in WORKLOADS:
        case = next(case for case in workload.cases if case.target == Portcullis.name)
        print(f"{proxy.name}: {workload.name}", flush=True)
        sample = run_case(binaries / "pgbench", proxy, case, load, folder)
        if sample.error:
            raise SetupError(f"{proxy.name}: {workload.name}: {sample.error}")
    copy_figures(binaries / "psql", proxy, folder)
    handshake_figures(proxy, HANDSHAKES)


def run(command: list, **how) -> None:
    if subprocess.run(command, **how).returncode != 0:
        raise SetupError(f"{command[0]} failed")


def output_of(command: list[str]) -> str:
    return subprocess.check_output(command, text=True).strip()


if __name__ == "__main__":
    sys.exit(main())
