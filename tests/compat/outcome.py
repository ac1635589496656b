"""What a suite said of each of its tests, and which differences have been reviewed."""

from __future__ import annotations

import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Outcome:
    """How one test ended, and what it said if it did not pass."""

    state: str
    text: str = ""


Outcomes = dict[str, Outcome]


def from_junit(report: Path) -> Outcomes:
    """Reads pytest's JUnit report. A test that fails again in its teardown is one failure."""
    outcomes: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        state, texts = PASSED, []
        for part in case:
            if part.tag in ("failure", "error"):
                state = FAILED
            elif part.tag == "skipped" and state == PASSED:
                state = SKIPPED
            texts += [part.get("message") or "", part.text or ""]
        outcomes[name] = Outcome(state, "\n".join(texts))
    return outcomes


def from_unittest(output: str) -> Outcomes:
    """Reads what Python's unittest prints with verbosity 2; the reports of failures come at the end."""
    outcomes: Outcomes = {}
    for name, place, state in re.findall(r"^(\w+) \(([\w.]+)\)(?:\n.*)?? \.\.\. (ok|FAIL|ERROR|skipped)", output, re.M):
        full = f"{place}" if place.endswith(f".{name}") else f"{place}.{name}"
        outcomes[full] = Outcome({"ok": PASSED, "skipped": SKIPPED}.get(state, FAILED))
    for block in re.split(r"^={20,}$", output, flags=re.M)[1:]:
        found = re.match(r"\s*(?:FAIL|ERROR): (\w+) \(([\w.]+)\)", block)
        if found:
            full = found[2] if found[2].endswith(f".{found[1]}") else f"{found[2]}.{found[1]}"
            outcomes[full] = Outcome(FAILED, block)
    return outcomes


def from_libtest(output: str) -> Outcomes:
    """Reads what Rust's test harness prints; what a failed test said comes at the end."""
    states = {"ok": PASSED, "ignored": SKIPPED, "FAILED": FAILED}
    outcomes = {name: Outcome(states[state]) for name, state in re.findall(r"^test (\S+) .*?\.\.\. (ok|ignored|FAILED)", output, re.M)}
    for name, text in re.findall(r"^---- (\S+) stdout ----\n(.*?)(?=^---- |^failures:)", output, re.M | re.S):
        outcomes[name] = Outcome(FAILED, text)
    return outcomes


def from_lines(output: str) -> Outcomes:
    """Reads one JSON object for each test on a line of its own: `name`, `state`, and `text` if it failed."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"name":')]
    return {line["name"]: Outcome(line["state"], line.get("text", "")) for line in lines}


def count(outcomes: Outcomes) -> str:
    """`passed/run`; skipped tests have not run."""
    run = [outcome for outcome in outcomes.values() if outcome.state != SKIPPED]
    return f"{sum(outcome.state == PASSED for outcome in run)}/{len(run)}"


def only_through(direct: Outcomes, through: Outcomes) -> Outcomes:
    """The tests that pass directly and do not pass through."""
    missing = Outcome(FAILED, "did not run")
    return {
        name: through.get(name, missing)
        for name, outcome in direct.items()
        if outcome.state == PASSED and through.get(name, missing).state != PASSED
    }


@dataclass
class Expectation:
    """A reviewed difference: of one suite or of all; by names of tests, by what they say, or both."""

    reason: str
    suite: str = "*"
    tests: tuple[str, ...] = ("*",)
    says: str = ""
    # The pool mode it is about; any if left out.
    mode: str = ""
    met: int = 0

    def covers(self, suite: str, name: str, outcome: Outcome) -> bool:
        """Whether this difference is the reviewed one."""
        return (
            fnmatchcase(suite, self.suite)
            # Names hold brackets of parameters, which are no character classes.
            and any(fnmatchcase(name.replace("[", "("), pattern.replace("[", "(")) for pattern in self.tests)
            and re.search(self.says, outcome.text) is not None
        )


def expectations(path: Path, mode: str) -> list[Expectation]:
    """Reads what the reviewed list says of a pool mode."""
    found = []
    for entry in tomllib.loads(path.read_text())["expected"]:
        entry["tests"] = tuple(entry.get("tests", ["*"]))
        expectation = Expectation(**entry)
        if expectation.tests == ("*",) and not expectation.says:
            raise ValueError(f"an entry of {path.name} covers everything: {expectation.reason}")
        if expectation.mode in ("", mode):
            found.append(expectation)
    return found
