"""Judges a mission before it runs: all findings in one pass, and a plan where there is no error."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rustchain_airflow import diagnostics
from rustchain_airflow.diagnostics import Diagnostic, Finding, Severity
from rustchain_airflow.source import Document, SourceError, read_file, read_text

if TYPE_CHECKING:
    from rustchain_airflow.check.rule import Rule
    from rustchain_airflow.mission import Mission
    from rustchain_airflow.plan import Plan


class InvalidMission(Exception):
    """A mission that cannot run; ``diagnostics`` says why, all at once."""

    def __init__(self, checked_diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(checked_diagnostics)
        super().__init__("\n".join(f"{finding.file}: {finding.code} {finding.message}" for finding in self.diagnostics))


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking a mission gave. ``plan`` and ``mission`` are None when a diagnostic is an error."""

    diagnostics: tuple[Diagnostic, ...]
    plan: Plan | None = None
    mission: Mission | None = None
    document: Document | None = None

    @property
    def ok(self) -> bool:
        return self.plan is not None

    def require_plan(self) -> Plan:
        """The plan. Raises InvalidMission when there is none."""
        if self.plan is None:
            raise InvalidMission(self.diagnostics)
        return self.plan


def check_file(path: str | Path, *, strict: bool = False, variables: Iterable[str] = ()) -> Checked:
    """Check a mission file; ``variables`` are names that the run will be given."""
    try:
        document = read_file(path)
    except SourceError as error:
        return Checked(tuple(diagnostics.from_source_error(error)))
    return check_document(document, strict=strict, variables=variables)


def check_text(
    text: str | bytes,
    *,
    name: str = "mission.yaml",
    format: Literal["yaml", "json"] = "yaml",
    strict: bool = False,
    variables: Iterable[str] = (),
) -> Checked:
    """Check mission text; ``name`` is what findings call it."""
    try:
        document = read_text(text, name=name, format=format)
    except SourceError as error:
        return Checked(tuple(diagnostics.from_source_error(error)))
    return check_document(document, strict=strict, variables=variables)


def check_document(document: Document, *, strict: bool = False, variables: Iterable[str] = ()) -> Checked:
    """Check a mission that has been read."""
    findings, plan, mission = _judge(
        document.value,
        name=Path(document.name).name.encode(errors="replace").decode(),  # a file name need not be text
        digest=document.digest,
        strict=strict,
        variables=variables,
    )
    return Checked(tuple(diagnostics.place(document, findings)), plan, mission, document)


def plan_mission(mission: Mission, *, name: str = "mission.yaml", variables: Iterable[str] = ()) -> Plan:
    """The plan of a mission made in Python. Raises InvalidMission."""
    findings, plan, _ = _judge(
        mission.model_dump(mode="json", exclude_unset=True), name=name, digest="", strict=False, variables=variables
    )
    if plan is None:
        raise InvalidMission(
            Diagnostic(finding.code, finding.severity, name, None, finding.message, finding.help)
            for finding in findings
        )
    return plan


def _judge(
    value: Any, *, name: str, digest: str, strict: bool, variables: Iterable[str]
) -> tuple[list[Finding], Plan | None, Mission | None]:
    from rustchain_airflow.check.draft import Draft
    from rustchain_airflow.check.planning import make_plan

    if not isinstance(value, Mapping):
        message = "a mission is a mapping with a list of steps, and this file is not a mapping"
        return [Finding("RC101", Severity.ERROR, (), message)], None, None
    draft = Draft(value, name=name, variables=variables)
    findings = [finding for rule in rules() for finding in rule.findings(draft, strict=strict)]
    if any(finding.severity is Severity.ERROR for finding in findings):
        return findings, None, None
    return findings, make_plan(draft, source_name=name, source_digest=digest), draft.mission()


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of this room, by code: one module a rule."""
    from rustchain_airflow.check.rule import Rule

    found = []
    for module in pkgutil.iter_modules(__path__):
        rule = getattr(importlib.import_module(f"{__name__}.{module.name}"), module.name, None)
        if isinstance(rule, Rule):
            found.append(rule)
    return tuple(sorted(found, key=lambda rule: rule.code))
