"""Runs one step type over a real workspace in a temporary folder, without an engine around it.

    def test_law(run, workspace):
        output = run("create_file", {"path": "a.txt", "content": "x"}, files={"b.txt": "y"})
        assert output["path"] == "a.txt"

``run`` validates the parameters with the step's own model (`pydantic.ValidationError` for bad ones), calls its run
function in this process and returns the output as JSON. `StepError` and `StepRefused` come through as raised.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.sdk import Connection, Processes, StepRefused

Run = Callable[..., dict[str, Any]]


@dataclass
class KnownConnections:
    """Connections by the id or URL that a test puts in ``known``."""

    known: dict[str, Connection] = field(default_factory=dict)

    def resolve(self, reference: str) -> Connection:
        if reference not in self.known:
            raise StepRefused(f'connection "{reference}" is not defined')
        return self.known[reference]


@dataclass
class Context:
    """The StepContext of a test. Every attribute may be set before the step runs."""

    workspace: GuardedWorkspace
    processes: Processes
    stop: StopToken
    environment: dict[str, str]
    connections: KnownConnections = field(default_factory=KnownConnections)
    step_id: str = "step"
    mission_name: str = "mission"
    run_id: str = "run-1"
    attempt: int = 1
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("rustchain_airflow.step"))
    masked: list[str] = field(default_factory=list)
    """What the step asked to be masked."""
    refused_hosts: set[str] = field(default_factory=set)

    def remaining(self) -> float:
        return self.stop.remaining()

    def check_host(self, host: str) -> None:
        if host in self.refused_hosts:
            raise StepRefused(f'host "{host}" is not allowed')

    def mask(self, secret: str) -> None:
        self.masked.append(secret)


@pytest.fixture
def workspace(tmp_path: Path) -> GuardedWorkspace:
    """An empty workspace. Its files as they are on disk: ``workspace.root / "a.txt"``."""
    root = tmp_path / "workspace"
    root.mkdir()
    return GuardedWorkspace(root)


@pytest.fixture
def context(workspace: GuardedWorkspace) -> Iterator[Context]:
    """The context of the step under test: 60 seconds, the environment of this process, no connections."""
    environment = dict(os.environ)
    with StopToken(60) as stop:
        yield Context(workspace, ProcessRunner(workspace, environment, stop=stop), stop, environment)


@pytest.fixture
def run(context: Context) -> Run:
    """``run(step_type, parameters, files={path: text or bytes})`` -> the output as a JSON object."""

    def run_step(
        step_type: str, parameters: Mapping[str, Any], *, files: Mapping[str, str | bytes] | None = None
    ) -> dict[str, Any]:
        for path, content in (files or {}).items():
            target = context.workspace.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        implementation = catalog.load(step_type)
        output = implementation.run(implementation.parameters.model_validate(parameters), context)
        return output.model_dump(mode="json")

    return run_step
