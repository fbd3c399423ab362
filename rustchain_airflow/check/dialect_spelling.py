"""RC107: another dialect's spelling."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC107", "dialect-spelling", Severity.NOTE)
def dialect_spelling(draft: Draft) -> Iterator[Found]:
    """A key or a step type is written in another dialect of mission files; it is read as its canonical form.

    Nothing is wrong. The note tells the spelling of the specification (semantics §1.6).
    """
    for finding in draft.canonical.findings:
        if finding.code == "RC107":
            yield Found(finding.path, finding.message, finding.help, finding.at_key)
