"""Diagnostics for programs: one JSON object each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rustchain_airflow.diagnostics import Diagnostic


def rows(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """The diagnostics as JSON values; lines and columns from 1, the end exclusive, null where there is no place."""
    return [
        {
            "code": diagnostic.code,
            "severity": str(diagnostic.severity),
            "file": diagnostic.file,
            "line": span.line if (span := diagnostic.span) else None,
            "column": span.column if span else None,
            "end_line": span.end_line if span else None,
            "end_column": span.end_column if span else None,
            "message": diagnostic.message,
            "help": diagnostic.help,
        }
        for diagnostic in diagnostics
    ]


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """The rows as the text of a JSON list, in ASCII, so that no terminal or pipe can stumble over it."""
    return json.dumps(rows(diagnostics), indent=2) + "\n"
