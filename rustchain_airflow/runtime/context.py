"""What a step's references mean in a run: environment, variables, configuration, mission and other steps."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from rustchain_airflow.expressions import MISSING, AsWritten, Reference, Segment, descend, render, spell
from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.safety.secrets import Secrets, belongs_to_airflow, looks_secret
from rustchain_airflow.steps.sdk import StepRefused


class UnresolvableReference(StepRefused):
    """A reference that has no value in this run: the step fails before it runs (semantics §7.7)."""


@dataclass(frozen=True, slots=True)
class MissionRun:
    """One run of a mission, as ``{{ mission.x }}`` and ``{{ config.x }}`` see it."""

    name: str
    version: str
    run_id: str
    started: datetime
    workspace: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def timestamp(self) -> str:
        return self.started.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ExecutionContext:
    """State and communication between the steps of one run (specification §5).

    ``results`` gives the result of a step that has ended, or None. ``environment`` is the process
    environment unless something else is given.
    """

    def __init__(
        self,
        run: MissionRun | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        results: Callable[[str], StepResult | None] | None = None,
        environment: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self.run = run or MissionRun("", "1.0", "manual", datetime.now(UTC), ".")
        self.variables: dict[str, Any] = dict(variables or {})
        self.results: Callable[[str], StepResult | None] = results or _no_results
        self.environment = os.environ if environment is None else environment
        self.secrets = Secrets() if secrets is None else secrets

    def get_variable(self, key: str) -> Any:
        """A context variable; None when it is not set."""
        return self.variables.get(key)

    def set_variable(self, key: str, value: Any) -> None:
        self.variables[key] = value

    def render(self, step: PlannedStep) -> dict[str, Any]:
        """The step's parameters with every reference replaced. Raises UnresolvableReference."""
        rendered = render(dict(step.parameters), self.resolve, step.bindings)
        assert isinstance(rendered, dict)
        return rendered

    def resolve(self, reference: Reference) -> Any:
        """The value of a reference (semantics §7.2, §7.3).

        Raises UnresolvableReference where it names something that is not there and has no default,
        AsWritten for a bare name that nothing in the run is called.
        """
        try:
            return self._find(reference)
        except UnresolvableReference:
            if reference.default is MISSING:
                raise
            return reference.default
        except AsWritten:
            if reference.default is MISSING:
                raise
            return reference.default

    def _find(self, reference: Reference) -> Any:
        head, rest = reference.head, reference.segments[1:]
        if head == "env":
            return self._environment(reference)
        if head == "context":
            return self._path(reference, self.variables, "context variable", rest)
        if head == "config":
            return self._path(reference, self.run.config, "config setting", rest)
        if head == "mission":
            return self._path(reference, self._mission(), "mission property", rest)
        if (step_id := reference.step_id) is not None and (
            head == "steps" or reference.step_path[0] in ("output", "status", "error")
        ):
            result = self.results(step_id)
            if result is not None:
                return self._step(reference, step_id, result)
            if head == "steps":
                raise UnresolvableReference(f'{reference.text}: step "{step_id}" has no result in this run')
        if head in self.variables:
            return self._path(reference, self.variables, "context variable", reference.segments)
        if len(reference.segments) == 1 and (builtin := self._builtin(head)) is not None:
            return builtin
        raise AsWritten(head)

    def _environment(self, reference: Reference) -> str:
        if len(reference.segments) != 2:
            raise UnresolvableReference(f"{reference.text}: write the name of one environment variable after env.")
        name = str(reference.segments[1])
        if belongs_to_airflow(name):
            raise StepRefused(f"{reference.text}: Airflow's own environment variables are not for missions")
        value = self.environment.get(name)
        if value is None:
            visible = [known for known in self.environment if not belongs_to_airflow(known)]
            near = get_close_matches(name, visible, n=1)
            raise UnresolvableReference(
                f"{reference.text}: the environment variable {name} is not set"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        if looks_secret(name):
            self.secrets.add(value)
        return value

    def _mission(self) -> dict[str, Any]:
        run = self.run
        return {
            "name": run.name,
            "version": run.version,
            "run_id": run.run_id,
            "timestamp": run.timestamp,
            "workspace": run.workspace,
        }

    def _builtin(self, name: str) -> str | None:
        match name:
            case "timestamp":
                return self.run.timestamp
            case "date":
                return self.run.timestamp[:10]
            case "run_id":
                return self.run.run_id
            case "uuid":
                return str(uuid.uuid4())
        return None

    def _step(self, reference: Reference, step_id: str, result: StepResult) -> Any:
        part, *path = reference.step_path
        if part == "status":
            return self._path(reference, {"status": result.status.value}, "step property", ("status", *path))
        if part == "error":
            return self._path(reference, {"error": result.error}, "step property", ("error", *path))
        if part != "output":
            raise UnresolvableReference(f'{reference.text}: step "{step_id}" has output, status and error, not {part}')
        if result.output is None:
            raise UnresolvableReference(
                f'{reference.text}: step "{step_id}" ended {result.status.value} and left no output'
            )
        return self._path(reference, result.output, f'output of step "{step_id}"', tuple(path))

    def _path(self, reference: Reference, value: Any, what: str, path: tuple[Segment, ...]) -> Any:
        found = descend(value, path)
        if found is not MISSING:
            return found
        for length in range(1, len(path) + 1):
            if descend(value, path[:length]) is MISSING:
                there, missing = descend(value, path[: length - 1]), path[length - 1]
                raise UnresolvableReference(f"{reference.text}: {_absence(what, path[: length - 1], there, missing)}")
        raise UnresolvableReference(f"{reference.text}: no such {what}")


def _no_results(_: str) -> None:
    return None


def _absence(what: str, parents: tuple[Segment, ...], there: Any, missing: Segment) -> str:
    """What exists where a reference found nothing, and the nearest name (semantics §7.7)."""
    place = f"{what} {spell(parents)}" if parents else what
    if isinstance(there, Mapping):
        near = get_close_matches(str(missing), map(str, there), n=1, cutoff=0.5)
        exists = ", ".join(_some(map(str, there))) or "nothing"
        return f'no {place} called "{missing}"; there is {exists}' + (f'; did you mean "{near[0]}"?' if near else "")
    if isinstance(there, list):
        return f"{place} has {len(there)} items, and no [{missing}]"
    return f'{place} is {_kind(there)} and has no "{missing}"'


def _some(names: Iterable[str], most: int = 12) -> list[str]:
    listed = list(names)
    return listed if len(listed) <= most else [*listed[:most], f"{len(listed) - most} more"]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "true or false", int: "a number", float: "a number", str: "text"}.get(type(value), "a value")
