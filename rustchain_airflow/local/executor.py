"""DagExecutor: runs a mission on this machine with worker threads of its own."""

from __future__ import annotations

import heapq
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rustchain_airflow import semantics
from rustchain_airflow.check import plan_mission
from rustchain_airflow.expressions import MISSING, descend
from rustchain_airflow.local.reporter import Reporter, Silent
from rustchain_airflow.mission import Mission, MissionStep
from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.inputs import starting_variables
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.results import MissionResult, StepResult, in_file_order
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.policy import Policy
from rustchain_airflow.safety.secrets import Secrets, secret_values
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps.sdk import Connections

_LISTEN_SECONDS = 0.25
"""How long the main thread waits at a time. A signal that comes just as a wait without limit begins would not be
noticed before the wait ends: Python runs handlers between waits, and only an interrupted one ends early."""


class DagExecutor:
    """Executes missions (specification §4)."""

    @staticmethod
    def execute_mission(
        mission: Mission | Plan,
        *,
        workspace: str | Path = ".",
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        connections: Connections | None = None,
        max_concurrent_steps: int | None = None,
        run_id: str | None = None,
        reporter: Reporter | None = None,
        policy: Policy | None = None,
    ) -> MissionResult:
        """Run a mission to its end. Raises InvalidMission or InvalidInputs before anything runs."""
        variables = variables or {}
        plan = mission if isinstance(mission, Plan) else plan_mission(mission, variables=variables)
        return Execution(
            plan,
            workspace=workspace,
            variables=variables,
            environment=environment,
            connections=connections,
            max_concurrent_steps=max_concurrent_steps,
            run_id=run_id,
            reporter=reporter,
            policy=policy,
        ).run()

    @staticmethod
    def execute_step(step: MissionStep, context: ExecutionContext) -> StepResult:
        """One step by itself, with its retries; its ``outputs`` become variables of the context."""
        alone = step.model_copy(update={"depends_on": []})
        plan = plan_mission(
            Mission.model_validate({"name": step.id, "steps": [alone.model_dump(mode="json", exclude_unset=True)]}),
            variables=context.variables,
        )
        planned = plan.steps[0]
        with ForkServer() as fork_server:
            runtime = StepRuntime(context, fork_server=fork_server, connections=LocalConnections(context.environment))
            attempts, began = 0, time.monotonic()
            while True:
                attempts += 1
                with StopToken(planned.timeout_seconds) as stop:
                    result = run_step(planned, runtime, stop=stop, attempt=attempts)
                if result.status is StepStatus.SUCCESS or not semantics.may_retry(
                    planned, attempts_made=attempts, retryable=result.retryable
                ):
                    break
                time.sleep(planned.retry_delay_ms / 1000)
        set_variables(planned, result, context)
        return result.spanning(duration_ms=round((time.monotonic() - began) * 1000), attempts=attempts)

    @staticmethod
    def topological_sort(steps: Sequence[MissionStep]) -> list[str]:
        """Step ids in an order that dependencies allow, file order among equals. Raises InvalidMission."""
        plan = plan_mission(Mission.model_construct(_fields_set={"name", "steps"}, name="mission", steps=list(steps)))
        return [step.id for wave in waves(plan) for step in wave]


def waves(plan: Plan) -> list[list[PlannedStep]]:
    """The steps by how many steps come before them on the longest way; each wave in file order."""
    from graphlib import TopologicalSorter  # a run needs no order in advance

    upstream = {step.id: [edge.upstream for edge in step.edges] for step in plan.steps}
    level: dict[str, int] = {}
    for step_id in TopologicalSorter(upstream).static_order():
        level[step_id] = max((level[before] + 1 for before in upstream[step_id]), default=0)
    result: list[list[PlannedStep]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for step in plan.steps:
        result[level[step.id]].append(step)
    return result


def set_variables(step: PlannedStep, result: StepResult, context: ExecutionContext) -> None:
    """Give the context the variables that a step's ``outputs`` set (semantics §7.4)."""
    for variable, output_field in step.outputs.items():
        value = descend(result.output, tuple(output_field.split(".")))
        if value is not MISSING:
            context.set_variable(variable, value)


def new_run_id() -> str:
    """An id that sorts by time and is unique among concurrent runs."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass
class _Progress:
    """What a step has been through so far."""

    attempts: int = 0
    spent_ms: int = 0
    last: StepResult | None = None


@dataclass(order=True)
class _Retry:
    due: float
    index: int


class Execution:
    """One run of one plan.

    `run` -> workers take the first ready step of the file -> run_step -> settle: dependents become ready or
    are skipped, a strict failure halts the mission -> `run` returns when every step has a result.

    All state is guarded by one condition; steps run outside it.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        workspace: str | Path = ".",
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        connections: Connections | None = None,
        max_concurrent_steps: int | None = None,
        run_id: str | None = None,
        reporter: Reporter | None = None,
        policy: Policy | None = None,
    ) -> None:
        """Raises InvalidInputs when ``variables`` are not what the mission asks for."""
        self.plan = plan
        environment = dict(os.environ if environment is None else environment)
        self.context = ExecutionContext(
            MissionRun(
                plan.name,
                plan.version,
                run_id or new_run_id(),
                datetime.now(UTC),
                str(Path(workspace).absolute()),
                plan.config,
            ),
            variables=starting_variables(plan, variables or {}),
            results=self._result_of,
            environment=environment,
            secrets=Secrets(secret_values(environment)),
        )
        self._connections = connections or LocalConnections(environment)
        self._policy = policy or Policy()
        self._limit = max_concurrent_steps or plan.max_concurrent_steps or default_concurrency()
        self._reporter: Reporter = reporter or Silent()

        self._lock = threading.RLock()
        self._work_to_do = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._index = {step.id: place for place, step in enumerate(plan.steps)}
        self._waiting = [len(step.edges) for step in plan.steps]
        self._dependents: list[list[int]] = [[] for _ in plan.steps]
        for place, step in enumerate(plan.steps):
            for edge in step.edges:
                self._dependents[self._index[edge.upstream]].append(place)
        self._ready = [place for place, count in enumerate(self._waiting) if count == 0]
        self._retries: list[_Retry] = []
        self._progress: dict[int, _Progress] = {}
        self._running = 0
        self._idle = 0
        self._workers: list[threading.Thread] = []
        self._results: dict[str, StepResult] = {}
        self._outcomes: dict[str, StepStatus] = {}
        self._failed_fast: str | None = None
        self._ended_by: str | None = None
        self._cancelled = False
        self._stop = StopToken()

    def run(self) -> MissionResult:
        """Run to the end; call once. The workspace folder is made if it is missing."""
        began = time.monotonic()
        Path(self.context.run.workspace).mkdir(parents=True, exist_ok=True)
        self._reporter.mission_started(self.plan, self.context.run)
        deadline = math.inf if self.plan.timeout_seconds is None else began + self.plan.timeout_seconds
        with self._owning_processes(), ForkServer() as fork_server:
            self._runtime = StepRuntime(self.context, self._policy, fork_server, self._connections)
            with self._lock, self._stopped_if_interrupted():
                self._hire()
                while not self._is_over():
                    left = deadline - time.monotonic()
                    if left <= 0 and self._ended_by is None:
                        assert self.plan.timeout_seconds is not None
                        self._end(semantics.mission_timed_out(self.plan.timeout_seconds))
                        deadline = math.inf
                        continue
                    self._finished.wait(min(max(0.0, left), _LISTEN_SECONDS))
            for worker in self._workers:
                worker.join()
        status = semantics.verdict(
            self.plan,
            self._outcomes,
            cancelled=self._cancelled,
            timed_out=self._ended_by is not None and not self._cancelled,
        )
        result = MissionResult(
            status=status,
            step_results=in_file_order((step.id for step in self.plan.steps), self._results),
            total_duration_ms=round((time.monotonic() - began) * 1000),
            timestamp=self.context.run.started,
            mission=self.plan.name,
            run_id=self.context.run.run_id,
        )
        self._reporter.mission_ended(result)
        return result

    @contextmanager
    def _stopped_if_interrupted(self) -> Iterator[None]:
        """Leave nothing running when the caller's thread is interrupted, as Ctrl-C does where nobody handles it."""
        try:
            yield
        except BaseException:
            self._cancelled = True
            self._end(semantics.CANCELLED)
            while not self._is_over():
                self._finished.wait(_LISTEN_SECONDS)
            raise

    @contextmanager
    def _owning_processes(self) -> Iterator[None]:
        """End what ``process_start`` steps left running; only a mission that has one pays for the import."""
        try:
            yield
        finally:
            if any(step.step_type is StepType.PROCESS_START for step in self.plan.steps):
                from rustchain_airflow.runtime.owned_processes import end_owned_processes

                run = self.context.run
                end_owned_processes(Path(run.workspace), run.run_id, grace_seconds=self._policy.stop_grace_seconds)

    def cancel(self) -> None:
        """Stop running steps and start no more (semantics §6.1). From any thread but a signal handler's own."""
        with self._lock:
            if not self._is_over() and self._ended_by is None:
                self._cancelled = True
                self._end(semantics.CANCELLED)

    def _result_of(self, step_id: str) -> StepResult | None:
        return self._results.get(step_id)

    # --- below, the lock is held --------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._running == 0 and len(self._results) == len(self.plan.steps)

    def _hire(self) -> None:
        """Wake or start as many workers as there is work for, up to the limit."""
        if self._is_over():
            self._work_to_do.notify_all()
            self._finished.notify_all()
            return
        wanted = len(self._ready)
        self._work_to_do.notify(min(wanted, self._idle))
        for _ in range(min(wanted - self._idle, self._limit - len(self._workers))):
            worker = threading.Thread(target=self._work, name=f"step-{len(self._workers) + 1}", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _end(self, reason: str) -> None:
        """Stop what runs and skip what has not started: time is up, or the user said so."""
        self._ended_by = reason
        self._stop.cancel(reason)
        self._skip_the_rest()
        self._hire()

    def _skip_the_rest(self) -> None:
        """Give every step that will not start its result; running steps end by themselves."""
        for retry in self._retries:
            progress = self._progress.pop(retry.index)
            assert progress.last is not None
            self._record(self.plan.steps[retry.index], self._spanned(progress, progress.last))
        self._retries.clear()
        self._ready.clear()
        for place, step in enumerate(self.plan.steps):
            if step.id not in self._results and place not in self._progress:
                reason = semantics.skip_reason_at_end(
                    step, self._outcomes, failed_fast=self._failed_fast, ended_by=self._ended_by
                )
                self._record(step, StepResult.skipped(step.id, reason))

    def _record(self, step: PlannedStep, result: StepResult) -> None:
        self._results[step.id] = result
        self._outcomes[step.id] = result.status
        set_variables(step, result, self.context)
        self._reporter.step_ended(step, result)

    @staticmethod
    def _spanned(progress: _Progress, result: StepResult) -> StepResult:
        return result.spanning(duration_ms=progress.spent_ms, attempts=progress.attempts)

    def _settle(self, index: int, result: StepResult) -> None:
        """Record an outcome and what follows from it for the steps that waited for it."""
        settled = deque([(index, result)])
        while settled:
            place, outcome = settled.popleft()
            step = self.plan.steps[place]
            if step.id in self._results:
                continue  # skipped with the rest, when fail_fast was triggered a moment ago
            self._record(step, outcome)
            if (
                self.plan.fail_fast
                and self._failed_fast is None
                and self._ended_by is None
                and semantics.is_strict_failure(step, outcome.status)
            ):
                self._failed_fast = step.id
                self._skip_the_rest()
            if self._failed_fast is not None or self._ended_by is not None:
                continue
            for dependent in self._dependents[place]:
                self._waiting[dependent] -= 1
                if self._waiting[dependent] == 0:
                    waiting = self.plan.steps[dependent]
                    reason = semantics.skip_reason(waiting.edges, self._outcomes)
                    if reason is None:
                        heapq.heappush(self._ready, dependent)
                    else:
                        settled.append((dependent, StepResult.skipped(waiting.id, reason)))
        self._hire()

    def _take(self) -> int | None:
        """The step to run now: first in the file among those ready (semantics §2.4)."""
        now = time.monotonic()
        while self._retries and self._retries[0].due <= now:
            heapq.heappush(self._ready, heapq.heappop(self._retries).index)
        return heapq.heappop(self._ready) if self._ready else None

    # --- the workers --------------------------------------------------------------------------

    def _work(self) -> None:
        with self._lock:
            while not self._is_over():
                index = self._take()
                if index is None:
                    due = self._retries[0].due - time.monotonic() if self._retries else None
                    self._idle += 1
                    self._work_to_do.wait(due)
                    self._idle -= 1
                    continue
                step = self.plan.steps[index]
                progress = self._progress.setdefault(index, _Progress())
                progress.attempts += 1
                self._running += 1
                self._reporter.step_started(step, progress.attempts)
                self._lock.release()
                try:
                    with StopToken(step.timeout_seconds, parent=self._stop) as stop:
                        result = run_step(step, self._runtime, stop=stop, attempt=progress.attempts)
                finally:
                    self._lock.acquire()
                self._running -= 1
                self._ended(index, step, progress, result)

    def _ended(self, index: int, step: PlannedStep, progress: _Progress, result: StepResult) -> None:
        progress.spent_ms += result.duration_ms
        progress.last = result
        halted = self._failed_fast is not None or self._ended_by is not None
        if (
            result.status is StepStatus.FAILED
            and self._ended_by is None
            and semantics.may_retry(step, attempts_made=progress.attempts, retryable=result.retryable)
            and not halted
        ):
            self._reporter.step_retried(step, result)
            due = time.monotonic() + step.retry_delay_ms / 1000
            heapq.heappush(self._retries, _Retry(due, index))
            return
        del self._progress[index]
        self._settle(index, self._spanned(progress, result))


def default_concurrency() -> int:
    """Steps that run at the same time where nothing says otherwise: the CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
