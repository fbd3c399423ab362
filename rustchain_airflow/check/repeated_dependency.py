"""RC205: a dependency written twice."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC205", "repeated-dependency", Severity.WARNING)
def repeated_dependency(draft: Draft) -> Iterator[Found]:
    """``depends_on`` names a step twice: harmless, and most often a slip for another id."""
    for step in draft.steps:
        seen: set[str] = set()
        for place, name in enumerate(step.step.depends_on):
            if name in seen:
                yield Found((*step.path, "depends_on", place), f'step "{step.step.id}" lists "{name}" twice')
            seen.add(name)
