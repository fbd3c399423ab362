"""One step of a mission as an Airflow task; what the operators of all families share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk.log import mask_secret

from rustchain_airflow.expressions import Reference, parse
from rustchain_airflow.operators import _airflow, _record
from rustchain_airflow.operators._connections import AirflowConnections
from rustchain_airflow.operators._mission import MissionOperator
from rustchain_airflow.plan import DEFAULT_RETRY_DELAY_MS, DEFAULT_STEP_TIMEOUT_SECONDS, PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.secrets import Secrets, belongs_to_airflow, secret_values
from rustchain_airflow.semantics import (
    CANCELLED,
    StepStatus,
    fail_fast_reason,
    is_strict_failure,
    may_retry,
    mission_timed_out,
)
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.sdk import StepError, StepRefused

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

BACKSTOP = timedelta(seconds=30)
"""How long after the step's own time limit Airflow's alarm rings, should stopping the work properly not succeed."""

_SHOWN = "parameters."


class StepOperator(MissionOperator):
    """Run one step of a mission.

    ``parameters`` are the step type's, as the mission writes them: ``{{ … }}`` is filled in by the mission's own
    rules, never by Jinja. Each shows as a rendered field of its own, masked. ``bindings`` maps references as written
    to the ones they mean, ``outputs`` context variables to fields of this step's output.

    A failing step fails as a task, also when ``continue_on_error`` tolerates it: its dependents' trigger rules say so.
    """

    family: ClassVar[str]

    def __init__(
        self,
        *,
        step_type: str,
        parameters: Mapping[str, Any] | None = None,
        continue_on_error: bool = False,
        bindings: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        retries: int = 0,
        retry_delay: timedelta = timedelta(milliseconds=DEFAULT_RETRY_DELAY_MS),
        execution_timeout: timedelta = timedelta(seconds=DEFAULT_STEP_TIMEOUT_SECONDS),
        priority_weight: int | None = None,
        weight_rule: str = "absolute",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("doc_md", _summary(step_type))
        super().__init__(
            priority_weight=1 if priority_weight is None else priority_weight,
            retries=retries,
            retry_delay=retry_delay,
            execution_timeout=execution_timeout,
            weight_rule=weight_rule,
            **kwargs,
        )
        self.step_type = step_type
        self.custom_operator_name = step_type
        self.parameters = dict(parameters or {})
        self.continue_on_error = continue_on_error
        self.bindings = dict(bindings or {})
        self.outputs = dict(outputs or {})
        # One field a parameter: Airflow turns a field of more than 4,096 characters into one truncated string.
        self.template_fields = ("step_type", *(_SHOWN + name for name in self.parameters))
        for name, value in self.parameters.items():
            setattr(self, _SHOWN + name, value)
        self.has_own_weight = priority_weight is not None
        self._retries = retries
        self._time_limit = execution_timeout
        self._stop: StopToken | None = None
        self._runtime: StepRuntime | None = None
        self._rendered: dict[str, Any] | None = None
        self._masked: frozenset[str] = frozenset()

    @property
    def planned(self) -> PlannedStep:
        """This step as the runtime reads it."""
        return PlannedStep(
            id=self.task_id,
            name=self.task_display_name,
            step_type=StepType(self.step_type),
            position=0,
            parameters=self.parameters,
            attempts=self._retries + 1,
            retry_delay_ms=self.retry_delay // timedelta(milliseconds=1),
            timeout_seconds=self._time_limit.total_seconds(),
            continue_on_error=self.continue_on_error,
            bindings={written: _reference(meant) for written, meant in self.bindings.items()},
            outputs=self.outputs,
        )

    def render_template_fields(self, context: Context, jinja_env: object = None) -> None:
        """Fill in ``{{ … }}`` by the mission's rules; Jinja would read them differently (semantics §7.6)."""
        runtime = self._runtime = self._make_runtime(context)
        try:
            self._rendered = runtime.context.render(self.planned)
        except StepError:
            return  # met again in `execute`, where it becomes the step's result
        self._mask(runtime)
        for name, value in self._rendered.items():
            setattr(self, _SHOWN + name, runtime.secrets.mask_value(value))

    def pre_execute(self, context: Context) -> None:
        """Let the step's own time limit come first: Airflow's alarm would cut it short without stopping its work."""
        self.execution_timeout = self._time_limit + BACKSTOP

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Run one attempt, leave its result in XCom, and end as the step ended.

        Guards its own start: whoever stops a mission cannot reach a step that is on its way to a worker.
        """
        ti, planned = _airflow.task_instance(context), self.planned
        runtime = self._runtime or self._make_runtime(context)
        attempt = _airflow.attempt(ti, self._retries)
        last = _airflow.remembered(context) if attempt > 1 else None
        if self.fail_fast and (failed := self._strictly_failed(ti)):
            self._end_before_start(ti, last, fail_fast_reason(failed))
        left = self.seconds_left(runtime.run)
        if left is not None and left <= 0:
            self._end_before_start(ti, last, self._mission_timed_out())
        result = self._attempt(planned, runtime, attempt, left)
        self._mask(runtime)
        if last is not None:
            result = result.spanning(duration_ms=result.duration_ms + last["duration_ms"], attempts=attempt)
        _record.push(ti, result)
        if result.status is StepStatus.SUCCESS:
            return result.output
        is_last = (
            not may_retry(planned, attempts_made=attempt, retryable=result.retryable)
            or result.error in (CANCELLED, self._mission_timed_out())
            or (self.fail_fast and self._strictly_failed(ti) is not None)
        )
        if not is_last:
            _airflow.remember(context, result.to_json())
            raise AirflowException(result.error)
        if result.error == self._mission_timed_out() or (self.fail_fast and is_strict_failure(planned, result.status)):
            self._skip_the_rest(ti)
        raise AirflowFailException(result.error)

    def on_kill(self) -> None:
        """Stop the work: someone cancelled the run, marked the task, or shuts the worker down."""
        if self._stop is not None:
            self._stop.cancel(CANCELLED)

    def _attempt(self, planned: PlannedStep, runtime: StepRuntime, attempt: int, left: float | None) -> StepResult:
        message = self._mission_timed_out()
        with StopToken(left, message=message) as mission, StopToken(planned.timeout_seconds, parent=mission) as stop:
            self._stop = mission
            with suppress(OSError):  # a workspace that cannot be made is the step's own error, said by its guard
                Path(runtime.run.workspace).mkdir(parents=True, exist_ok=True)
            try:
                return run_step(planned, runtime, stop=stop, attempt=attempt, rendered=self._rendered)
            finally:
                self._stop = None

    def _make_runtime(self, context: Context) -> StepRuntime:
        return StepRuntime(
            ExecutionContext(
                self.mission_run(context),
                variables={**(context["dag_run"].conf or {}), **context["params"]},
                results=_results(_airflow.task_instance(context)),
                # A step's programs get the worker's environment without Airflow's settings, which hold its secrets.
                environment={name: value for name, value in os.environ.items() if not belongs_to_airflow(name)},
                secrets=Secrets(secret_values(os.environ)),
            ),
            fork_server=_fork_server(),
            connections=AirflowConnections(),
        )

    def _mask(self, runtime: StepRuntime) -> None:
        """Tell Airflow which values its logs and rendered fields must not show."""
        for secret in runtime.secrets.values - self._masked:
            mask_secret(secret)
        self._masked = runtime.secrets.values

    def _strictly_failed(self, ti: RuntimeTaskInstance) -> str | None:
        """A step of this run whose failure nothing tolerates; None in the usual case, for one request."""
        if not _airflow.count_failed(ti):
            return None
        states = _airflow.ended_states(ti)
        failed = [
            step.id
            for step in self.planned_steps()
            if states.get(step.id) == _airflow.FAILED and not step.continue_on_error
        ]
        return _record.first_to_end({step_id: _record.pull(ti, step_id) for step_id in failed}) if failed else None

    def _skip_the_rest(self, ti: RuntimeTaskInstance) -> None:
        """Skip what has not started (semantics §4.1).

        Only steps that Airflow has not scheduled yet: one that waits for its next attempt has failed already, and what
        is on its way to a worker meets its own guard there.
        """
        states = _airflow.states(ti)
        _airflow.skip([step.id for step in self.planned_steps() if states.get(step.id) is None])

    def _mission_timed_out(self) -> str | None:
        return None if self.mission_timeout is None else mission_timed_out(self.mission_timeout.total_seconds())

    def _end_before_start(self, ti: RuntimeTaskInstance, last: dict[str, Any] | None, reason: str | None) -> None:
        """End a step that may not start (again): skipped, or failed as its last attempt did."""
        assert reason is not None
        if last is None:
            _record.push(ti, StepResult.skipped(self.task_id, reason))
            raise AirflowSkipException(reason)
        _record.push(ti, StepResult.from_json(last))
        raise AirflowFailException(f"{last['error']} (no further attempt: {reason})")


@cache
def _summary(step_type: str) -> str | None:
    """What a step type does, in a sentence; None for one that is not available."""
    try:
        return catalog.load(step_type).summary
    except (StepRefused, ImportError):
        return None


def _reference(text: str) -> Reference:
    whole = parse("{{" + text + "}}").whole
    if whole is None:
        raise ValueError(f"not a reference: {text}")
    return whole


@cache
def _fork_server() -> ForkServer:
    """The one fork server of this process; it ends with the process."""
    return ForkServer()


def _results(ti: RuntimeTaskInstance) -> Callable[[str], StepResult | None]:
    """The results of other steps of the run, each fetched once."""

    @cache
    def result(step_id: str) -> StepResult | None:
        record = _record.pull(ti, step_id)
        return None if record is None else record.result

    return result
