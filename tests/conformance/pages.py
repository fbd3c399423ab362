"""Reads docs/semantics: normative pages whose missions and outcome tables are the conformance suite.

A section is a `##` or `###` heading that begins with the number of a rule of the semantics. A case is a mission in it
(a ```yaml or ```json block) with what follows it up to the next mission:

- a ```yaml given block: `variables` and `environment` of the run, `file` (the mission's file name), `strict`;
- a table whose first column is `step`: expected results; other columns are `status`, `attempts`, `error`, and
  `output.PATH`. An empty cell says nothing, `-` says null; `…` in an error stands for any text.
- a table whose first column is `finding`: the codes of all findings, with `line` and `message` (`…` as above);
- a line `Mission: Completed.` and a line `Starts: a, b, c.` (the order in which steps start, one at a time).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

_HEADING = re.compile(r"^#{2,3} (?P<rule>\d+\.\d+)\b\.? *(?P<title>.*)$")
_FENCE = re.compile(r"^(`{3,})(?P<kind>\w*) *(?P<word>\w*)$")
_MISSION = re.compile(r"^Mission: (?P<status>\w+)\.$")
_STARTS = re.compile(r"^Starts: (?P<ids>.+)\.$")


@dataclass
class Case:
    """One mission of a page and what must become of it."""

    page: str
    rule: str
    title: str
    line: int
    number: int
    text: str
    format: Literal["yaml", "json"]
    given: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, str]] = field(default_factory=list)
    findings: list[dict[str, str]] | None = None
    status: str | None = None
    starts: list[str] | None = None

    def __str__(self) -> str:
        return f"{self.rule}-{self.number}"


def read(folder: Path) -> Iterator[Case]:
    """Every case of every page, in page order."""
    for page in sorted(folder.glob("*.md")):
        yield from _cases(page)


def _cases(page: Path) -> Iterator[Case]:
    lines = page.read_text(encoding="utf-8").splitlines()
    rule, title, number = "", "", 0
    case: Case | None = None
    place = 0
    while place < len(lines):
        line = lines[place]
        if heading := _HEADING.match(line):
            if case:
                yield case
            case, number = None, 0
            rule, title = heading["rule"], heading["title"]
        elif fence := _FENCE.match(line):
            end = lines.index(fence[1], place + 1)
            block = "\n".join(lines[place + 1 : end]) + "\n"
            if fence["word"] == "given":
                assert case is not None, f"{page.name}:{place + 1}: given without a mission"
                case.given = yaml.safe_load(block)
            elif fence["kind"] in ("yaml", "json") and not fence["word"]:
                if case:
                    yield case
                number += 1
                case = Case(page.name, rule, title, place + 1, number, block, fence["kind"])  # type: ignore[arg-type]
            place = end
        elif case and (mission := _MISSION.match(line)):
            case.status = mission["status"]
        elif case and (starts := _STARTS.match(line)):
            case.starts = [step_id.strip() for step_id in starts["ids"].split(",")]
        elif case and line.startswith("|"):
            table, place = _table(lines, place)
            if table and "step" in table[0]:
                case.steps = table
            elif table and "finding" in table[0]:
                case.findings = table
            elif "| finding" in line:
                case.findings = []
            continue
        place += 1
    if case:
        yield case


def _table(lines: list[str], place: int) -> tuple[list[dict[str, str]], int]:
    rows: list[list[str]] = []
    while place < len(lines) and lines[place].startswith("|"):
        cells = re.split(r"(?<!\\)\|", lines[place].strip()[1:-1])
        rows.append([cell.strip().replace("\\|", "|") for cell in cells])
        place += 1
    header = rows[0]
    return [dict(zip(header, row, strict=True)) for row in rows[2:]], place


def mismatches(case: Case, result: dict[str, Any]) -> list[str]:
    """What a MissionResult does not have as its page says; empty when all is well."""
    found: list[str] = []
    if case.status and result["status"] != case.status:
        found.append(f"mission: {result['status']}, not {case.status}")
    if case.steps and list(result["step_results"]) != [row["step"] for row in case.steps]:
        found.append(f"steps: {list(result['step_results'])}")
        return found
    for row in case.steps:
        step = result["step_results"][row["step"]]
        for column, expected in row.items():
            if column == "step" or expected == "":
                continue
            actual = _actual(step, column)
            if not matches(expected, actual):
                found.append(f"{row['step']}.{column}: {actual!r}, not {expected!r}")
    return found


def _actual(step: dict[str, Any], column: str) -> Any:
    value: Any = step
    for key in column.split("."):
        value = value[int(key)] if isinstance(value, list) else (value or {}).get(key)
    return value


def matches(expected: str, actual: Any) -> bool:
    """Whether a cell describes a value: text with … for anything, JSON for other values."""
    if expected == "-":
        return actual is None
    expected = expected.strip("`")
    if isinstance(actual, str):
        pattern = ".*".join(map(re.escape, expected.split("…")))
        return re.fullmatch(pattern, actual, re.DOTALL) is not None
    return bool(json.loads(expected) == actual)
