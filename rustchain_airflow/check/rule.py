"""What a rule is: a code, a slug, a severity, and a function from a draft to what it found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.diagnostics import Finding, Severity
from rustchain_airflow.source import DocumentPath


class Found(NamedTuple):
    """One thing a rule found; the rule adds code and severity."""

    path: DocumentPath
    message: str
    help: str | None = None
    at_key: bool = False
    within: str | None = None


class Rule(NamedTuple):
    """A check with a stable code. Its docstring is its page."""

    code: str
    slug: str
    severity: Severity
    strict: bool
    """An error under ``--strict``."""
    page: str
    find: Callable[[Draft], Iterator[Found]]

    def findings(self, draft: Draft, *, strict: bool = False) -> Iterator[Finding]:
        severity = Severity.ERROR if strict and self.strict else self.severity
        for found in self.find(draft):
            yield Finding(
                self.code,
                severity,
                draft.canonical.origin(found.path),
                found.message,
                found.help,
                found.at_key,
                found.within,
            )


def rule(
    code: str, slug: str, severity: Severity = Severity.ERROR, *, strict: bool = False
) -> Callable[[Callable[[Draft], Iterator[Found]]], Rule]:
    """Declare a rule; the slug completes the sentence "allow …"."""

    def declare(find: Callable[[Draft], Iterator[Found]]) -> Rule:
        return Rule(code, slug, severity, strict, inspect.getdoc(find) or "", find)

    return declare


def did_you_mean(name: Any, known: list[str]) -> str | None:
    """A help line with the nearest known name, when one is near."""
    from difflib import get_close_matches

    near = get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else None
