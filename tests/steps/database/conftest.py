"""Servers for the database steps, one of each a session, and ways to reach them as a mission does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import services

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.step_type import StepType


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.Server]:
    with services.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[services.Server]:
    with services.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[services.Server]:
    with services.redis() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def database(request: pytest.FixtureRequest, context: Any) -> str:
    """The URL of an empty database of each engine, known to the context's connections."""
    context.connections = LocalConnections({})
    if request.param == "sqlite":
        return "sqlite:///test.db"
    server: services.Server = request.getfixturevalue(request.param)
    services.empty(server)
    return server.url


@pytest.fixture
def engine(database: str) -> str:
    """The engine of `database`: sqlite, postgresql or mysql."""
    return database.partition(":")[0]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


Attempt = Callable[..., StepResult]


@pytest.fixture
def attempt(fork_server: ForkServer, workspace: Any) -> Attempt:
    """``attempt(step_type, parameters, timeout=s, stop=token)``: as the engines run it, in a process of its own."""

    def run(
        step_type: str,
        parameters: Mapping[str, Any],
        *,
        timeout: float = 60,
        stop: StopToken | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> StepResult:
        given = environment or {}
        mission = MissionRun("mission", "1.0", "run-1", datetime.now(UTC), str(workspace.root))
        runtime = StepRuntime(
            ExecutionContext(mission, environment={"PATH": os.environ["PATH"], **given}),
            fork_server=fork_server,
            connections=LocalConnections(given),
        )
        planned = PlannedStep("step", "step", StepType(step_type), 0, dict(parameters), timeout_seconds=timeout)
        with StopToken(timeout, parent=stop) as token:
            return run_step(planned, runtime, stop=token)

    return run
