"""RC101: the file does not hold a mission."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule


@rule("RC101", "not-a-mission")
def not_a_mission(draft: Draft) -> Iterator[Found]:
    """A mission is a mapping with a list of steps under ``steps``.

    Anything else in a mission file (a list, a text, a mapping without steps, an empty list of steps) cannot run.
    """
    if "steps" not in draft.value:
        yield Found((), "this file has no steps", 'a mission lists its steps under "steps:"')
    elif draft.value["steps"] is None or draft.value["steps"] == []:
        yield Found(("steps",), "the mission has no steps", "add at least one step", at_key=True)
    elif not isinstance(draft.value["steps"], list):
        yield Found(("steps",), '"steps" is not a list', "start each step with a dash: - id: ...", at_key=True)
