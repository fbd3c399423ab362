"""What the local executor tells while a mission runs; a reporter is told, never asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.runtime.context import MissionRun
from rustchain_airflow.runtime.results import MissionResult, StepResult
from rustchain_airflow.semantics import StepStatus


class Reporter(Protocol):
    """Called under the executor's lock, in the order things happen; must be quick and must not raise."""

    def mission_started(self, plan: Plan, run: MissionRun) -> None: ...

    def step_started(self, step: PlannedStep, attempt: int) -> None: ...

    def step_retried(self, step: PlannedStep, failed: StepResult) -> None:
        """An attempt failed and another follows after the step's delay."""

    def step_ended(self, step: PlannedStep, result: StepResult) -> None: ...

    def mission_ended(self, result: MissionResult) -> None: ...


class Silent:
    """Says nothing."""

    def mission_started(self, plan: Plan, run: MissionRun) -> None:
        pass

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        pass

    def step_retried(self, step: PlannedStep, failed: StepResult) -> None:
        pass

    def step_ended(self, step: PlannedStep, result: StepResult) -> None:
        pass

    def mission_ended(self, result: MissionResult) -> None:
        pass


class Lines:
    """One plain line whenever a step starts, is retried or ends; for pipes and log files."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._ended = 0
        self._steps = 0

    def mission_started(self, plan: Plan, run: MissionRun) -> None:
        self._steps = len(plan.steps)
        self._write(f"{plan.name}: {counted(self._steps, 'step')}, run {run.run_id}")

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        if attempt == 1:
            self._write(f"started  {step.id}")

    def step_retried(self, step: PlannedStep, failed: StepResult) -> None:
        self._write(retry_line(step, failed))

    def step_ended(self, step: PlannedStep, result: StepResult) -> None:
        self._ended += 1
        self._write(f"{result.status.lower():<8} {step.id} {outcome(step, result)} [{self._ended}/{self._steps}]")

    def mission_ended(self, result: MissionResult) -> None:
        self._write(verdict(result))


def retry_line(step: PlannedStep, failed: StepResult) -> str:
    """What is said when another attempt follows."""
    return (
        f"retry    {step.id} in {step.retry_delay_ms} ms, "
        f"after attempt {failed.attempts} of {step.attempts}: {failed.error}"
    )


def outcome(step: PlannedStep, result: StepResult) -> str:
    """Time, attempts and error of an ended step."""
    if result.status is StepStatus.SKIPPED:
        return f"({result.error})"
    attempts = f", {result.attempts} attempts" if result.attempts > 1 else ""
    tolerated = ", tolerated" if result.status is StepStatus.FAILED and step.continue_on_error else ""
    error = f": {result.error}" if result.error else ""
    return f"({duration(result.duration_ms)}{attempts}{tolerated}){error}"


def verdict(result: MissionResult) -> str:
    """The last line: the mission's status, time, and how many steps ended how."""
    counts = Counter(step.status for step in result.step_results.values())
    steps = ", ".join(f"{counts[status]} {status.lower()}" for status in StepStatus if counts[status])
    return f"{result.status.value} in {duration(result.total_duration_ms)}: {steps}"


def duration(milliseconds: int) -> str:
    """A time people can read."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1000} s"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
