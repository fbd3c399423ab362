"""RC106: an id that cannot be one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.expressions import RESERVED


@rule("RC106", "invalid-step-id")
def invalid_step_id(draft: Draft) -> Iterator[Found]:
    """A step id is 1 to 200 letters, digits, dots, dashes and underscores, and no word that references begin with.

    Ids become task ids in Airflow and names in references (semantics §1.3, §7.2).
    """
    for fault in draft.shape:
        if fault.path[:1] != ("steps",) or fault.path[-1] != "id" or fault.type == "missing":
            continue
        if isinstance(fault.input, str):
            proposal = re.sub(r"[^A-Za-z0-9_.-]+", "_", fault.input).strip("_")[:200]
            yield Found(
                fault.path,
                f'step id "{fault.input}" may only hold letters, digits, dots, dashes and underscores (1 to 200)',
                f'write "{proposal}"' if proposal else None,
            )
        else:
            yield Found(fault.path, "a step id is text", f'write "{fault.input}" in quotes')
    for step in draft.steps:
        if step.step.id in RESERVED:
            yield Found(
                (*step.path, "id"),
                f'"{step.step.id}" cannot be a step id: references that begin with it mean something else',
                f'write "{step.step.id}_step"',
            )
