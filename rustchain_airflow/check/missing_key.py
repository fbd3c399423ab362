"""RC102: a key that every mission or step needs is missing."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.mission import MissionStep


@rule("RC102", "missing-key")
def missing_key(draft: Draft) -> Iterator[Found]:
    """A step has no ``id`` or no ``step_type``, or a typed input has no name.

    All other keys have defaults: a step's name is its id, its parameters are empty.
    """
    for fault in draft.shape:
        if fault.type != "missing":
            continue
        name = str(fault.path[-1])
        owner = fault.input if isinstance(fault.input, dict) else {}
        unknown = [key for key in owner if key not in MissionStep.model_fields]
        near = next((key for key in unknown if did_you_mean(key, [name])), None)
        identity = f' "{owner["id"]}"' if isinstance(owner.get("id"), str) else ""
        what = f"step{identity}" if fault.path[0] == "steps" else "this entry"
        yield Found(
            fault.path[:-1],
            f'{what} has no "{name}"',
            f'"{near}" looks like it: write "{name}"' if near else f"add {name}:",
        )
