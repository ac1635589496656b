"""Suites that are compiled first: tokio-postgres' own tests, and a program over pgjdbc."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bed import SetupError
from outcome import Outcomes, from_libtest, from_lines
from workshop import Suite, Workshop

HERE = Path(__file__).resolve().parent


class TokioPostgres(Suite):
    """tokio-postgres' integration tests, without the kinds of logins it has made for itself in its container."""

    name, title = "tokio-postgres", "tokio-postgres"
    version = "0.7.18"
    features = "array-impls,with-chrono-0_4,with-uuid-1,with-serde_json-1,with-bit-vec-0_8,with-time-0_3"
    setup_sql = "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;"
    # Its tests name a server, and logins of a container; what they say is made to mean libpq's variables.
    target = '''
fn target(said: &str) -> String {
    let variable = |name: &str| std::env::var(name).unwrap();
    let login = format!("user={} dbname={}", variable("PGUSER"), variable("PGDATABASE"));
    let said = said.replace("password=password", &format!("password={}", variable("PGPASSWORD")));
    let said = said.replace("dbname=postgres", "").replace("5433", &variable("PGPORT"));
    ["pass", "md5", "scram"].iter().fold(
        said.replace("user=postgres", &format!("{login} password={}", variable("PGPASSWORD"))),
        |said, kind| said.replace(&format!("user={kind}_user"), &login),
    )
}
'''

    def install(self, shop: Workshop) -> None:
        self.folder = shop.bench(self.name) / "crate"
        shutil.copytree(shop.crate("tokio-postgres", self.version), self.folder)
        manifest = self.folder / "Cargo.toml"
        # The benchmark, whose library is larger than all else; and no part of a workspace it may lie in.
        text = re.sub(r'\[\[bench\]\]\n(.+\n)+|\[dev-dependencies.criterion\]\n(.+\n)+', "", manifest.read_text())
        manifest.write_text(text + "\n[workspace]\n")
        for path in (self.folder / "tests" / "test" / "main.rs", self.folder / "tests" / "test" / "runtime.rs"):
            text = path.read_text()
            text = text.replace('TcpStream::connect("127.0.0.1:5433")', 'TcpStream::connect(crate::target("127.0.0.1:5433"))')
            text = text.replace("s.parse::<Config>()", "crate::target(s).parse::<Config>()")
            text = re.sub(r'("[^"]*\bport=5433[^"]*")', r"&crate::target(\1)", text)
            path.write_text(text + (self.target if path.name == "main.rs" else ""))
        self.cargo = ["cargo", "test", "--quiet", f"--target-dir={shop.cache / 'cargo'}", f"--features={self.features}", "--test=test"]
        shop.command(*self.cargo, "--no-run", folder=self.folder)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        command = [arguments for arguments in self.cargo if arguments != "--quiet"]
        command += ["--no-fail-fast", "--", "--test-threads=4", *([only] if only else [])]
        return from_libtest(self.output(shop, command, environment, label, self.folder))


class PgJdbc(Suite):
    """pgjdbc, by a program of ours: its own tests need its build and a cluster laid out for them."""

    name, title = "pgjdbc", "pgjdbc (a program of ours)"

    def install(self, shop: Workshop) -> None:
        places = [Path("/usr/share/java/postgresql.jar"), *([shop.sources / "postgresql.jar"] if shop.sources else [])]
        found = [place for place in places if place.exists()]
        if not found or not shutil.which("javac"):
            raise SetupError("no pgjdbc: apt-get install default-jdk-headless libpostgresql-jdbc-java")
        self.folder = shop.bench(self.name)
        self.classes = f"{found[0]}:{self.folder}"
        shop.command("javac", "-cp", self.classes, "-d", str(self.folder), str(HERE / "PgJdbc.java"))

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        command = ["java", "-cp", self.classes, "PgJdbc", *([only] if only else [])]
        return from_lines(self.output(shop, command, environment, label, self.folder))
