"""Suites of JavaScript's drivers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from outcome import FAILED, Outcome, Outcomes, from_lines
from workshop import Suite, Workshop

HERE = Path(__file__).resolve().parent


class NodePostgres(Suite):
    """node-postgres: its integration tests, each file a program that exits with 0."""

    name, title = "node-postgres", "node-postgres (files)"
    tag = "pg@8.23.0"
    packages = ("pg-connection-string@2", "pg-pool@3", "pg-protocol@1", "pg-types@2.2.0", "pgpass@1.0.5", "async@2.6.4",
                "bluebird@3.7.2", "co@4.6.0", "pg-copy-streams@0.3.0")

    def install(self, shop: Workshop) -> None:
        source = shop.checkout("node-postgres", "https://github.com/brianc/node-postgres", self.tag)
        self.folder = shop.bench(self.name)
        shutil.copytree(source / "packages" / "pg", self.folder / "pg")
        shop.command("npm", "install", "--silent", "--no-save", "--prefix", str(self.folder), *self.packages)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        home = self.folder / "pg"
        outcomes: Outcomes = {}
        for path in sorted((home / "test" / "integration").rglob(only or "*-tests.js")):
            name = str(path.relative_to(home / "test" / "integration"))
            outcomes[name] = self.program(["node", str(path)], home, environment)
        return outcomes


class PostgresJs(Suite):
    """postgres.js: its tests, each in a process of its own, since its harness stops at the first that fails."""

    name, title = "postgres.js", "postgres.js"
    tag = "v3.4.9"

    def install(self, shop: Workshop) -> None:
        source = shop.checkout(self.name, "https://github.com/porsager/postgres", self.tag)
        self.folder = shop.bench(self.name)
        for name in ("src", "tests", "package.json"):
            copy = shutil.copytree if (source / name).is_dir() else shutil.copy
            copy(source / name, self.folder / name)
        tests = self.folder / "tests"
        # It makes logins and a database of its own by bare names; here they are those of libpq's variables.
        text = (tests / "index.js").read_text()
        text = re.sub(r"user: 'postgres_js_test\w*'", "user: process.env.PGUSER, pass: process.env.PGPASSWORD", text)
        text = re.sub(r"\b(db|database): 'postgres_js_test'", r"\1: process.env.PGDATABASE", text)
        text = re.sub(r"'postgres_js_test_(md5|scram)'", "process.env.PGPASSWORD", text)
        text = text.replace("'@localhost:5432/'", "'@127.0.0.1:' + process.env.PGPORT + '/'")
        (tests / "index.js").write_text(text)
        text = (tests / "bootstrap.js").read_text()
        (tests / "bootstrap.js").write_text(re.sub(r"^exec\(.*\n", "", text, flags=re.M))
        shutil.copy(HERE / "postgres_js" / "test.js", tests)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        command = ["node", "tests/index.js"]
        listed = self.output(shop, command, environment, label, self.folder)
        outcomes: Outcomes = {}
        for name in from_lines(listed):
            if only and only not in name:
                continue
            chosen = {**environment, "PORTCULLIS_COMPAT_LINE": name.split()[0]}
            found = self.program(command, self.folder, chosen)
            outcomes[name] = from_lines(found.text).get(name, Outcome(FAILED, f"ended early\n{found.text}"))
            if outcomes[name].state == FAILED:
                # Most tests use this table, and one that fails leaves it behind for the next.
                self.program([str(shop.binaries / "psql"), "-qXc", "DROP TABLE IF EXISTS test"], self.folder, environment)
        return outcomes


class NodeOrms(Suite):
    """Object-relational mappers, by programs of ours: their own tests need a monorepo and a compiler each."""

    name, title = "node-orms", "Knex, Sequelize, TypeORM, Drizzle, Prisma (programs of ours)"
    packages = ("pg@8.23.1", "pg-query-stream@4", "postgres@3.4.9", "knex@3.3.0", "sequelize@6.37.8", "typeorm@1.1.1",
                "drizzle-orm@0.45.4", "prisma@7.10.1", "@prisma/client@7.10.0", "@prisma/adapter-pg@7.10.1")
    programs = (("knex",), ("sequelize",), ("typeorm",), ("drizzle", "node-postgres"), ("drizzle", "postgres-js"), ("prisma",))

    def install(self, shop: Workshop) -> None:
        self.folder = shop.cache / self.name
        shutil.copytree(HERE / "node_orms", self.folder, dirs_exist_ok=True)
        shop.command("npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", str(self.folder), *self.packages)
        # Its migrations are a program that would be downloaded and is never run; the client needs none.
        known = ("env", f"PRISMA_SCHEMA_ENGINE_BINARY={shutil.which('true')}", "CHECKPOINT_DISABLE=1")
        shop.command(*known, "node_modules/.bin/prisma", "generate", "--schema=schema.prisma", folder=self.folder)

    def run(self, shop: Workshop, environment: dict[str, str], label: str, only: str | None) -> Outcomes:
        outcomes: Outcomes = {}
        for program, *arguments in self.programs:
            if only in (None, program):
                found = self.program(["node", f"{program}.js", *arguments], self.folder, environment)
                listed = from_lines(found.text)
                outcomes |= listed or {f"{program}: starts": Outcome(FAILED, found.text)}
        return outcomes
