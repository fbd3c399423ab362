"""Diagnostics: what is wrong with a mission, where, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rustchain_airflow.source import DocumentPath, Span


class Severity(StrEnum):
    """How much a finding matters: only an error makes a mission invalid."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says about a part of the mission, by path; only a printer asks for the line."""

    code: str
    """RC0xx YAML, RC1xx shape, RC2xx graph, RC3xx references, RC4xx parameters, RC5xx safety, RC6xx Airflow."""
    severity: Severity
    path: DocumentPath
    message: str
    help: str | None = None
    at_key: bool = False
    """Point at the key of the path's last segment instead of its value."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding at its place in a file."""

    code: str
    severity: Severity
    file: str
    span: Span | None
    message: str
    help: str | None = None
    source_line: str | None = None
    """The text of the line the span starts on, without its line end."""
