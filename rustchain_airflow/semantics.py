"""The rules of outcome: when a step may start, when it is tried again, how a mission ends.

Pure functions; both back ends ask them and neither decides by itself.

| what happened upstream                   | the dependent | rule |
|------------------------------------------|---------------|------|
| every dependency succeeded               | starts        | 2.3  |
| one failed, with continue_on_error       | starts        | 3.2  |
| one failed, without                      | is skipped    | 3.3  |
| one was skipped                          | is skipped    | 3.3  |
| a strict failure elsewhere, fail_fast    | is skipped    | 4.1  |
| a strict failure elsewhere, no fail_fast | starts        | 4.2  |
| the mission's time is used up            | is skipped    | 5.4  |
| the mission was cancelled                | is skipped    | 6.1  |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from rustchain_airflow.plan import Edge, Plan, PlannedStep


class StepStatus(StrEnum):
    """How a step ended (semantics §3.1)."""

    SUCCESS = "Success"
    FAILED = "Failed"
    SKIPPED = "Skipped"


class MissionStatus(StrEnum):
    """How a mission ended; Running while it has not (semantics §6.1)."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


CANCELLED = "mission was cancelled"


def timed_out(seconds: float) -> str:
    """The error of everything that a time limit ends (semantics §5.3)."""
    return f"timed out after {seconds:g} s"


def mission_timed_out(seconds: float) -> str:
    """The error of steps that the mission's own limit leaves without an outcome (semantics §5.4)."""
    return f"mission {timed_out(seconds)}"


def is_strict_failure(step: PlannedStep, status: StepStatus) -> bool:
    """A failure that its own ``continue_on_error`` does not tolerate (semantics §3.2)."""
    return status is StepStatus.FAILED and not step.continue_on_error


def skip_reason(edges: Iterable[Edge], outcomes: Mapping[str, StepStatus]) -> str | None:
    """Why a step whose dependencies have all ended may not start; None when it may (semantics §3.2-3.4).

    The first dependency in the order of ``edges`` that stops the step is the one that is named.
    """
    for edge in edges:
        status = outcomes[edge.upstream]
        if status is StepStatus.SKIPPED:
            return f'dependency "{edge.upstream}" was skipped'
        if status is StepStatus.FAILED and not edge.tolerates_failure:
            return f'dependency "{edge.upstream}" failed'
    return None


def fail_fast_reason(failed_step: str) -> str:
    """Why a step that could have started does not, once fail_fast has been triggered (semantics §4.1)."""
    return f'not started: step "{failed_step}" failed and fail_fast is on'


def may_retry(step: PlannedStep, *, attempts_made: int, retryable: bool) -> bool:
    """Whether another attempt follows a failed one (semantics §5.1, §5.2)."""
    return retryable and attempts_made < step.attempts


def verdict(
    plan: Plan, outcomes: Mapping[str, StepStatus], *, cancelled: bool = False, timed_out: bool = False
) -> MissionStatus:
    """The mission's status once every step has an outcome (semantics §6.1)."""
    if cancelled:
        return MissionStatus.CANCELLED
    if timed_out or any(is_strict_failure(step, outcomes[step.id]) for step in plan.steps):
        return MissionStatus.FAILED
    return MissionStatus.COMPLETED


def skip_reason_at_end(
    step: PlannedStep, outcomes: Mapping[str, StepStatus], *, failed_fast: str | None, ended_by: str | None
) -> str:
    """Why a step never started, once the mission has ended; the same words in both engines.

    ``outcomes`` holds what is known of the steps before it. ``failed_fast`` is the step whose strict
    failure triggered fail_fast: every step it leaves behind names it (semantics §4.1). ``ended_by`` is
    the mission's time-out or cancellation (semantics §5.4, §6.1).
    """
    if failed_fast is not None:
        dependency = [edge for edge in step.edges if edge.upstream == failed_fast]
        return skip_reason(dependency, {failed_fast: StepStatus.FAILED}) or fail_fast_reason(failed_fast)
    known = [edge for edge in step.edges if edge.upstream in outcomes]
    return skip_reason(known, outcomes) or ended_by or "not started"
