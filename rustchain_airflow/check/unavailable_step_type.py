"""RC110: a step type that this version cannot run."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.diagnostics import Severity


@rule("RC110", "unavailable-step-type", Severity.WARNING)
def unavailable_step_type(draft: Draft) -> Iterator[Found]:
    """The specification has the step type, this version of rustchain-airflow does not: the step fails and says so."""
    for step in draft.steps:
        if step.implementation is None:
            yield Found(
                (*step.path, "step_type"),
                f'step type "{step.step.step_type}" is not available yet; step "{step.step.id}" will fail',
            )
