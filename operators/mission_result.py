"""The first and the last task of every mission."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.exceptions import AirflowFailException

from rustchain_airflow.operators import _airflow, _record
from rustchain_airflow.operators._mission import MissionOperator
from rustchain_airflow.operators._step import StepOperator
from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.runtime.owned_processes import end_owned_processes
from rustchain_airflow.runtime.results import MissionResult, StepResult, in_file_order
from rustchain_airflow.semantics import (
    CANCELLED,
    MissionStatus,
    StepStatus,
    is_strict_failure,
    mission_timed_out,
    skip_reason_at_end,
    verdict,
)

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

LOST = "the task ended without leaving a result: its worker was lost, or the task was marked failed"


class MissionStartOperator(EmptyOperator):
    """Where a mission starts: the setup of its ``mission_result``. The scheduler completes it without a worker."""

    ui_color = "#f0f0f0"


class MissionResultOperator(MissionOperator):
    """Gather the MissionResult, and fail when the mission did not complete.

    A teardown: it runs after all steps whatever became of them, also after a cancel. Its ``return_value`` is the
    MissionResult as JSON (semantics §6.3). Created last, it also gives the steps before it their places in the queue:
    among steps that are ready, the one written first goes first (semantics §2.4).
    """

    ui_color = "#f0f0f0"

    patience: ClassVar[timedelta] = timedelta(seconds=12)
    """How long to wait for a failed step that left no result: two of a task's heartbeats, and some."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "execution_timeout": None, "trigger_rule": "all_done"})
        self._queue_in_file_order()

    def execute(self, context: Context) -> dict[str, Any]:
        """End what the mission left running, push its MissionResult, then fail unless it completed."""
        result = self._mission_result(context)
        end_owned_processes(Path(self.mission_run(context).workspace), result.run_id)
        value = result.to_json()
        context["ti"].xcom_push(_record.MISSION_TEXT_KEY, json.dumps(value, ensure_ascii=False))
        if result.status is not MissionStatus.COMPLETED:
            context["ti"].xcom_push(_record.OUTPUT_KEY, value)
            raise AirflowFailException(f"mission {result.status.value}: {_first_error(result)}")
        return value

    def _wait_for_the_stopped(
        self, ti: RuntimeTaskInstance, states: Mapping[str, str], records: dict[str, _record.Record | None]
    ) -> None:
        """Give steps that a cancel has failed the time to hear of it, at a heartbeat, and to say how they ended."""
        deadline = time.monotonic() + self.patience.total_seconds()
        while missing := [
            step_id for step_id, record in records.items() if record is None and states[step_id] == _airflow.FAILED
        ]:
            if time.monotonic() >= deadline:
                return
            time.sleep(1)
            records.update({step_id: _record.pull(ti, step_id) for step_id in missing})

    def _queue_in_file_order(self) -> None:
        steps = [task for task in self.dag.tasks if isinstance(task, StepOperator)]
        for place, step in enumerate(steps):
            if not step.has_own_weight:
                step.priority_weight = self.mission_priority + len(steps) - place - 1

    def _mission_result(self, context: Context) -> MissionResult:
        ti, run, steps = _airflow.task_instance(context), self.mission_run(context), self.planned_steps()
        states = _airflow.ended_states(ti)
        records = {step.id: _record.pull(ti, step.id) for step in steps if step.id in states}
        self._wait_for_the_stopped(ti, states, records)
        results = {step.id: _outcome(step, states.get(step.id), records.get(step.id)) for step in steps}
        time_up = mission_timed_out(self.mission_timeout.total_seconds()) if self.mission_timeout else None
        timed_out = time_up is not None and any(result.error == time_up for result in results.values())
        cancelled = not timed_out and _was_cancelled(steps, states, results, records, self.fail_fast)
        not_of_its_own = {CANCELLED, time_up, LOST if cancelled else None}
        failed_fast = _failed_fast(steps, results, records, not_of_its_own) if self.fail_fast else None
        ended_by = CANCELLED if cancelled else time_up if timed_out else None
        results |= _explained(steps, results, failed_fast=failed_fast, ended_by=ended_by)
        outcomes = {step_id: result.status for step_id, result in results.items()}
        plan = Plan(run.name, run.version, None, steps)
        return MissionResult(
            status=verdict(plan, outcomes, cancelled=cancelled, timed_out=timed_out),
            step_results=in_file_order((step.id for step in steps), results),
            total_duration_ms=round((datetime.now(UTC) - run.started).total_seconds() * 1000),
            timestamp=run.started,
            mission=run.name,
            run_id=run.run_id,
        )


def _outcome(step: PlannedStep, state: str | None, record: _record.Record | None) -> StepResult:
    """How a step ended: what Airflow says counts, and of what the step left whatever agrees with it."""
    result = None if record is None else record.result
    if state == _airflow.SUCCESS:
        if result is not None and result.status is StepStatus.SUCCESS:
            return result
        return StepResult(step.id, StepStatus.SUCCESS)  # someone marked the task as success
    if state == _airflow.FAILED:
        if result is not None and result.status is StepStatus.FAILED:
            return result
        return StepResult(step.id, StepStatus.FAILED, error=LOST, attempts=step.attempts)
    if result is not None and result.status is StepStatus.SKIPPED:
        return result
    return StepResult.skipped(step.id, "")


def _failed_fast(
    steps: tuple[PlannedStep, ...],
    results: dict[str, StepResult],
    records: Mapping[str, _record.Record | None],
    not_of_its_own: set[str | None],
) -> str | None:
    """The step whose strict failure triggered fail_fast: the one that failed first, of its own accord."""
    failed = [
        step.id
        for step in steps
        if is_strict_failure(step, results[step.id].status) and results[step.id].error not in not_of_its_own
    ]
    return _record.first_to_end({step_id: records.get(step_id) for step_id in failed}) if failed else None


def _was_cancelled(
    steps: tuple[PlannedStep, ...],
    states: Mapping[str, str],
    results: Mapping[str, StepResult],
    records: Mapping[str, _record.Record | None],
    fail_fast: bool,
) -> bool:
    """Whether the run was stopped from outside.

    Airflow does not say: it fails what runs and skips the rest. So a step shows it that was told to stop, or one that
    was skipped without a reason of the mission's own: no guard of its own, no skipped step before it (behind a failed
    one it would be ``upstream_failed``), and no failure that had the rest skipped.
    """
    if any(result.error == CANCELLED for result in results.values()):
        return True
    if fail_fast and any(
        records.get(step.id) is not None and is_strict_failure(step, results[step.id].status) for step in steps
    ):
        return False
    return any(
        states.get(step.id) == _airflow.SKIPPED
        and records.get(step.id) is None
        and all(results[edge.upstream].status is not StepStatus.SKIPPED for edge in step.edges)
        for step in steps
    )


def _explained(
    steps: tuple[PlannedStep, ...],
    results: dict[str, StepResult],
    *,
    failed_fast: str | None,
    ended_by: str | None,
) -> dict[str, StepResult]:
    """The skipped steps with their reasons, and the failures that a cancel explains, in the local engine's words."""
    explained = {
        step.id: replace(results[step.id], error=CANCELLED)
        for step in steps
        if ended_by == CANCELLED and results[step.id].error == LOST
    }
    known = {
        step_id: result.status
        for step_id, result in (results | explained).items()
        # When the mission is ended from outside, what runs has no outcome yet, nor has what is skipped with it.
        if ended_by is None or (result.error != ended_by and result.status is not StepStatus.SKIPPED)
    }
    for step in steps:
        if results[step.id].status is StepStatus.SKIPPED:
            reason = skip_reason_at_end(step, known, failed_fast=failed_fast, ended_by=ended_by)
            explained[step.id] = StepResult.skipped(step.id, reason)
            known[step.id] = StepStatus.SKIPPED
    return explained


def _first_error(result: MissionResult) -> str:
    """The first thing that went wrong, for the log."""
    for step in result.step_results.values():
        if step.error:
            return f'step "{step.step_id}": {step.error}'
    return "no step says why"
