"""RC105: two steps with one id."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule


@rule("RC105", "duplicate-step-id")
def duplicate_step_id(draft: Draft) -> Iterator[Found]:
    """Two steps have the same id, so dependencies and references could mean either."""
    for step in draft.steps:
        first = draft.by_id[step.step.id]
        if first is not step:
            yield Found(
                (*step.path, "id"),
                f'step id "{step.step.id}" is used twice; it is step {first.index + 1} of the mission already',
                "give each step an id of its own",
            )
