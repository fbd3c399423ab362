"""Runs one attempt of one step: validate, guard, run, mask; the same in both engines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.safety.policy import Policy
from rustchain_airflow.safety.secrets import Secrets, looks_secret, password_of
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.sdk import (
    Connection,
    Connections,
    Marker,
    Output,
    Parameters,
    RunsAs,
    StepError,
    StepImplementation,
    StepRefused,
    declared,
)

logger = logging.getLogger("rustchain_airflow.step")


@dataclass(frozen=True)
class StepRuntime:
    """What all steps of one run share; made once a run (locally) or once a task (Airflow)."""

    context: ExecutionContext
    policy: Policy = field(default_factory=Policy)
    fork_server: ForkServer = field(default_factory=lambda: ForkServer())
    connections: Connections | None = None

    @property
    def run(self) -> MissionRun:
        return self.context.run

    @property
    def secrets(self) -> Secrets:
        return self.context.secrets


class ResolvedConnections:
    """The connections one step names, resolved before it runs: what an isolated child is given."""

    def __init__(self, resolved: Mapping[str, Connection]) -> None:
        self._resolved = resolved

    def resolve(self, reference: str) -> Connection:
        if reference not in self._resolved:
            raise StepRefused(f'connection "{reference}" is not defined')
        return self._resolved[reference]


class _MaskedLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose messages name the step and show no secret."""

    secrets: Secrets

    def log(self, level: int, msg: object, *args: object, **keywords: Any) -> None:
        if self.isEnabledFor(level):
            assert self.extra is not None
            text = self.secrets.mask(str(msg) % args if args else str(msg))
            self.logger.log(level, "%s: %s", self.extra["step_id"], text, **keywords)


class RunningStep:
    """The StepContext of one attempt."""

    def __init__(
        self,
        step_id: str,
        *,
        run: MissionRun,
        attempt: int,
        workspace: GuardedWorkspace,
        environment: Mapping[str, str],
        secrets: Secrets,
        stop: StopToken,
        policy: Policy,
        connections: Connections,
        isolated: bool = False,
    ) -> None:
        self.step_id = step_id
        self.mission_name = run.name
        self.run_id = run.run_id
        self.attempt = attempt
        self.workspace = workspace
        self.environment = environment
        self.logger = _MaskedLogger(logger, {"step_id": step_id})
        self.logger.secrets = secrets
        self.processes = ProcessRunner(
            workspace,
            environment,
            stop=stop,
            grace_seconds=policy.stop_grace_seconds,
            own_group=not isolated,  # the fork server stops an isolated step as one group, its programs included
            log=self.logger.info,
        )
        self.connections = connections
        self._secrets = secrets
        self._stop = stop

    def remaining(self) -> float:
        return self._stop.remaining()

    def check_host(self, host: str) -> None:
        """Every host is allowed until the host policy lands with the safety issue (semantics §8.3)."""

    def mask(self, secret: str) -> None:
        self._secrets.add(secret)


def run_step(
    step: PlannedStep,
    runtime: StepRuntime,
    *,
    stop: StopToken,
    attempt: int = 1,
    rendered: Mapping[str, Any] | None = None,
) -> StepResult:
    """One attempt of a step, as a result; whatever goes wrong in it is that result's error.

    ``rendered`` are the parameters after substitution, where the caller had to render them earlier.
    """
    began = time.monotonic()
    try:
        if rendered is None:
            rendered = runtime.context.render(step)
        output = _run(step, rendered, runtime, stop, attempt)
        result = StepResult(step.id, StepStatus.SUCCESS, output=output, attempts=attempt)
    except StepError as error:
        result = _failure(step.id, error, attempt)
    except Exception as error:
        logger.debug("step %s: internal error", step.id, exc_info=True)
        result = _failure(step.id, StepError(f"internal error: {type(error).__name__}: {error}"), attempt)
    return _masked(result, runtime.secrets).spanning(
        duration_ms=round((time.monotonic() - began) * 1000), attempts=attempt
    )


def _run(
    step: PlannedStep, rendered: Mapping[str, Any], runtime: StepRuntime, stop: StopToken, attempt: int
) -> dict[str, Any]:
    implementation = catalog.load(step.step_type)
    parameters = validate(implementation, rendered)
    workspace = GuardedWorkspace(Path(runtime.run.workspace))
    _guard(parameters, workspace, runtime.secrets)
    resolved = _connections(implementation, parameters, runtime)
    if implementation.runs_as is RunsAs.ISOLATED:
        return _isolated(step, rendered, resolved, runtime, stop, attempt)
    running = RunningStep(
        step.id,
        run=runtime.run,
        attempt=attempt,
        workspace=workspace,
        environment=runtime.context.environment,
        secrets=runtime.secrets,
        stop=stop,
        policy=runtime.policy,
        connections=ResolvedConnections(resolved),
    )
    return _json(implementation.run(parameters, running), runtime.policy)


def validate(implementation: StepImplementation, rendered: Mapping[str, Any]) -> Parameters:
    """The parameters of a step as its model. Raises StepRefused naming every fault (semantics §5.2)."""
    try:
        return implementation.parameters.model_validate(dict(rendered))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or implementation.name}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise StepRefused(f"invalid parameters: {faults}") from None


def _guard(parameters: Parameters, workspace: GuardedWorkspace, secrets: Secrets) -> None:
    """Refuse paths that leave the workspace before anything runs, and note which values are secret."""
    fields = declared(type(parameters))
    for name, access in fields.paths.items():
        for path in _texts(getattr(parameters, name)):
            workspace.locate(path, access=access)
    for name, markers in fields.markers.items():
        if Marker.SECRET in markers:
            for value in _texts(getattr(parameters, name)):
                secrets.add(value)
    for name in type(parameters).model_fields:
        for group in _groups(getattr(parameters, name)):
            _guard(group, workspace, secrets)


def _groups(value: Any) -> Iterator[Parameters]:
    """The nested groups of parameters in a value."""
    if isinstance(value, Parameters):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _groups(item)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []


def _connections(
    implementation: StepImplementation, parameters: Parameters, runtime: StepRuntime
) -> dict[str, Connection]:
    """The connections a step names, resolved here, because an isolated child cannot ask Airflow."""
    resolved = {}
    for name, markers in implementation.declared.markers.items():
        if Marker.CONNECTION in markers:
            for reference in _texts(getattr(parameters, name)):
                if runtime.connections is None:
                    raise StepRefused(f'connection "{reference}" is not defined')
                connection = runtime.connections.resolve(reference)
                for secret in _secrets_of(connection):
                    runtime.secrets.add(secret)
                resolved[reference] = connection
    return resolved


def _secrets_of(connection: Connection) -> Iterator[str]:
    if connection.password:
        yield connection.password
    if connection.uri and (password := password_of(connection.uri)):
        yield password
    for name, value in (connection.extra or {}).items():
        if isinstance(value, str) and looks_secret(name):
            yield value


def _isolated(
    step: PlannedStep,
    rendered: Mapping[str, Any],
    connections: Mapping[str, Connection],
    runtime: StepRuntime,
    stop: StopToken,
    attempt: int,
) -> dict[str, Any]:
    run = runtime.run
    reply = runtime.fork_server.run(
        {
            "step_id": step.id,
            "step_type": step.step_type.value,
            "parameters": dict(rendered),
            "attempt": attempt,
            "timeout_seconds": step.timeout_seconds,
            "remaining": stop.remaining(),
            "environment": dict(runtime.context.environment),
            "secrets": sorted(runtime.secrets.values),
            "connections": {reference: asdict(connection) for reference, connection in connections.items()},
            "run": {"name": run.name, "version": run.version, "run_id": run.run_id, "workspace": run.workspace},
            "policy": asdict(runtime.policy),
        },
        stop=stop,
        kind=step.step_type.value,
    )
    if reply["status"] == StepStatus.SUCCESS:
        output: dict[str, Any] = reply["output"]
        return output
    kind = StepError if reply["retryable"] else StepRefused
    raise kind(reply["error"], output=reply["output"])


def prepare(step_type: str) -> None:
    """What the fork server does before the first step of a type: whatever all of them would do again."""
    implementation = catalog.load(step_type)
    declared(implementation.parameters)
    for model in (implementation.parameters, implementation.output):
        model.model_rebuild()
    if implementation.prepare:
        implementation.prepare()


def work(request: dict[str, Any]) -> dict[str, Any]:
    """What a child of the fork server does: the run of one isolated step, as a JSON reply."""
    secrets = Secrets(request["secrets"])
    policy = Policy(**request["policy"])
    run = MissionRun(started=datetime.now(UTC), **request["run"])
    workspace = GuardedWorkspace(Path(run.workspace))
    try:
        implementation = catalog.load(request["step_type"])
        parameters = validate(implementation, request["parameters"])
        _guard(parameters, workspace, secrets)
        running = RunningStep(
            request["step_id"],
            run=run,
            attempt=request["attempt"],
            workspace=workspace,
            environment=request["environment"],
            secrets=secrets,
            stop=StopToken(request["remaining"]),
            policy=policy,
            connections=ResolvedConnections(
                {reference: Connection(**connection) for reference, connection in request["connections"].items()}
            ),
            isolated=True,
        )
        output = _json(implementation.run(parameters, running), policy)
        result = StepResult(request["step_id"], StepStatus.SUCCESS, output=output)
    except StepError as error:
        result = _failure(request["step_id"], error, request["attempt"])
    masked = _masked(result, secrets)
    return {
        "status": masked.status.value,
        "output": masked.output,
        "error": masked.error,
        "retryable": masked.retryable,
    }


def _failure(step_id: str, error: StepError, attempt: int) -> StepResult:
    output = error.output
    return StepResult(
        step_id,
        StepStatus.FAILED,
        output=output.model_dump(mode="json") if isinstance(output, Output) else dict(output) if output else None,
        error=" ".join(str(error).split()) or type(error).__name__,
        attempts=attempt,
        retryable=not isinstance(error, StepRefused),
    )


def _json(output: Output, policy: Policy) -> dict[str, Any]:
    """The output as the JSON object that travels; StepError beyond the policy's size (semantics §10.6)."""
    value: dict[str, Any] = output.model_dump(mode="json")
    try:
        size = len(json.dumps(value, allow_nan=False, separators=(",", ":")))
    except ValueError as error:
        raise StepError(f"the output is not JSON: {error}") from error
    if size > policy.max_output_bytes:
        raise StepRefused(
            f"the output is {size} bytes as JSON, more than the {policy.max_output_bytes} that the policy allows; "
            "write it to a file and pass the path on"
        )
    return value


def _masked(result: StepResult, secrets: Secrets) -> StepResult:
    if not secrets.values:
        return result
    return replace(
        result,
        output=secrets.mask_value(result.output),
        error=result.error and secrets.mask(result.error),
    )
