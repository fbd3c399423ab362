"""RC109: a step type that does not exist."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.step_type import StepType


@rule("RC109", "unknown-step-type")
def unknown_step_type(draft: Draft) -> Iterator[Found]:
    """The step type is none of the specification's 51; ``rustchain-airflow steps`` lists them."""
    for fault in draft.shape:
        if fault.path[:1] == ("steps",) and fault.path[-1] == "step_type" and fault.type != "missing":
            name = fault.input
            yield Found(
                fault.path,
                f'unknown step type "{name}"' if isinstance(name, str) else "a step type is text",
                did_you_mean(name, [known.value for known in StepType]) or "rustchain-airflow steps lists all types",
            )
