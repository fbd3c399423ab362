"""RC307: a reference in single braces."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC307", "single-brace-reference", Severity.NOTE)
def single_brace_reference(draft: Draft) -> Iterator[Found]:
    """``{ID_response}``, ``{ID_result}`` and ``{ID_context}`` are replaced where ID is a step (semantics §7.9)."""
    for step in draft.steps:
        for use in step.uses:
            if use.single_brace:
                yield Found(
                    use.path,
                    f"{use.written.text} is read as a reference",
                    f"write {{{{ {use.reference.path.removeprefix('steps.')} }}}}",
                    within=use.written.text,
                )
