"""What test runners report: JUnit XML, and the lines of those that write none, as counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO
from xml.etree import ElementTree

from rustchain_airflow.steps.sdk import StepError


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests ended how; errors count as failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def of_junit(file: BinaryIO) -> tuple[Counts, list[ElementTree.Element]]:
    """The counts of a JUnit XML report, case by case, and its suites. StepError for text that is none."""
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise StepError(f"the report of the tests is not well-formed XML: {error}") from error
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    suites = list(root) if root.tag == "testsuites" else [root]
    return Counts(passed, failed, skipped), suites


def merged(suites: Iterable[ElementTree.Element]) -> bytes:
    """One JUnit XML report of several suites."""
    root = ElementTree.Element("testsuites")
    root.extend(suites)
    report: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return report


_CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)


def of_cargo(stdout: str) -> Counts | None:
    """The sum over the test programs of a Rust project; None where none ran."""
    found = [Counts(*map(int, match)) for match in _CARGO.findall(stdout)]
    return sum(found, Counts()) if found else None


def of_go(stdout: str) -> tuple[Counts, str] | None:
    """The counts of ``go test -json`` (subtests count as tests), and the text it stands for; None for other text."""
    outcomes: dict[tuple[str, str], str] = {}
    text: list[str] = []
    events = 0
    for line in stdout.splitlines():
        event = _event(line)
        if event is None:
            text.append(line + "\n")
            continue
        events += 1
        action = event.get("Action")
        if action == "output":
            text.append(str(event.get("Output", "")))
        elif action in ("pass", "fail", "skip") and "Test" in event:
            outcomes[(str(event.get("Package", "")), str(event["Test"]))] = str(action)
    if not events:
        return None
    ended = list(outcomes.values())
    return Counts(ended.count("pass"), ended.count("fail"), ended.count("skip")), "".join(text)


def _event(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "Action" in event else None


_NODE = re.compile(r"^(?:#|\N{INFORMATION SOURCE}) (tests|pass|fail|cancelled|skipped|todo) (\d+)$", re.MULTILINE)
_TAP_CASE = re.compile(r"^(not )?ok\b(?: \d+)?(.*)$", re.MULTILINE)
_TAP_PLAN = re.compile(r"^1\.\.\d+", re.MULTILINE)
_TAP_SKIP = re.compile(r"# *skip", re.IGNORECASE)
_TAP_TODO = re.compile(r"# *todo", re.IGNORECASE)


def of_javascript(stdout: str) -> Counts | None:
    """The counts that Node's own test runner says, or those of a TAP stream; None where the text is neither."""
    said = {name: int(number) for name, number in _NODE.findall(stdout)}
    if "tests" in said and "pass" in said:
        return Counts(
            said["pass"], said.get("fail", 0) + said.get("cancelled", 0), said.get("skipped", 0) + said.get("todo", 0)
        )
    if not _TAP_PLAN.search(stdout):
        return None
    counts = Counts()
    for wrong, rest in _TAP_CASE.findall(stdout):
        if _TAP_SKIP.search(rest) or _TAP_TODO.search(rest):
            counts += Counts(skipped=1)
        else:
            counts += Counts(failed=1) if wrong else Counts(passed=1)
    return counts
