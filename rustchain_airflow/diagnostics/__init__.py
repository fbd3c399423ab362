"""Diagnostics: what is wrong with a mission, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from rustchain_airflow.source import Document, DocumentPath, SourceError, Span


class Severity(StrEnum):
    """How much a finding matters: only an error makes a mission invalid."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """What a rule says about a part of the mission, by path; only a printer asks for the line."""

    code: str
    """RC0xx YAML, RC1xx shape, RC2xx graph, RC3xx references, RC4xx parameters, RC5xx safety, RC6xx Airflow."""
    severity: Severity
    path: DocumentPath
    message: str
    help: str | None = None
    at_key: bool = False
    """Point at the key of the path's last segment instead of its value."""
    within: str | None = None
    """Point at this text inside the value, where it stands there as it is."""


class Diagnostic(NamedTuple):
    """A finding at its place in a file."""

    code: str
    severity: Severity
    file: str
    span: Span | None
    message: str
    help: str | None = None
    source_line: str | None = None
    """The text of the line the span starts on, without its line end."""


def place(document: Document, findings: Iterable[Finding]) -> list[Diagnostic]:
    """Findings at their places, in the order of the text, then by code; reads the text once for all of them."""
    found = list(findings)
    spans = document.locate((finding.path, finding.at_key) for finding in found)
    return _in_order(
        Diagnostic(
            code=finding.code,
            severity=finding.severity,
            file=document.name,
            span=(span := _narrowed(document, spans[finding.path, finding.at_key], finding.within)),
            message=finding.message,
            help=finding.help,
            source_line=document.line(span.line),
        )
        for finding in found
    )


def _narrowed(document: Document, span: Span, text: str | None) -> Span:
    """The first place of a text inside a span; the span where it is not to be found."""
    if text is None:
        return span
    for number in range(span.line, span.end_line + 1):
        place = document.line(number).find(text, span.column - 1 if number == span.line else 0)
        if place >= 0:
            return Span(number, place + 1, number, place + 1 + len(text))
    return span


def from_source_error(error: SourceError) -> list[Diagnostic]:
    """The faults of a text that could not be read, each an error, in the order of the text."""
    return _in_order(
        Diagnostic(
            code=fault.code,
            severity=Severity.ERROR,
            file=error.name,
            span=fault.span,
            message=fault.message,
            help=fault.help,
            source_line=error.line(fault.span.line) if fault.span else None,
        )
        for fault in error.faults
    )


def _in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=_order)


def _order(diagnostic: Diagnostic) -> tuple[int, int, str]:
    span = diagnostic.span
    return (span.line, span.column, diagnostic.code) if span else (0, 0, diagnostic.code)
