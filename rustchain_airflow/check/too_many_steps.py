"""RC111: more steps than a mission may have."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule

MAX_STEPS = 200_000
"""Steps of one mission (semantics §1.2)."""


@rule("RC111", "too-many-steps")
def too_many_steps(draft: Draft) -> Iterator[Found]:
    """The mission has more steps than the limit; split it."""
    if len(draft.steps) > MAX_STEPS:
        yield Found(
            ("steps",),
            f"the mission has {len(draft.steps)} steps; at most {MAX_STEPS} are allowed",
            "split it into several missions",
            at_key=True,
        )
