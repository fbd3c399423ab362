"""Runs a mission on either engine, and says how their results are compared.

    def test_law(engine):
        ran = engine({"name": "m", "steps": [...]}, environment={"USER_ID": "42"})
        assert ran.statuses == {"a": "Success"}

A test that takes ``engine`` runs twice: on the local executor and, compiled, under Airflow. Its module imports the
fixtures ``airflow_home`` and ``airflow_runs`` too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_runs import AirflowRuns

from rustchain_airflow.check import check_text
from rustchain_airflow.local.executor import DagExecutor
from rustchain_airflow.plan import Plan

Mission = dict[str, Any]
"""A mission as its YAML reads."""

_TASK_STATES = {"Success": "success", "Failed": "failed", "Skipped": "skipped"}


@dataclass(frozen=True)
class Ran:
    """How a mission ended on one engine."""

    result: dict[str, Any]
    """The MissionResult (semantics §6.3)."""
    workspace: Path
    rendered: Mapping[str, Any] = field(default_factory=dict)
    """By step id, the rendered fields as Airflow's UI shows them; empty for the local executor."""

    @property
    def status(self) -> str:
        return str(self.result["status"])

    @property
    def statuses(self) -> dict[str, str]:
        return {step_id: step["status"] for step_id, step in self.result["step_results"].items()}

    @property
    def attempts(self) -> dict[str, int]:
        return {step_id: step["attempts"] for step_id, step in self.result["step_results"].items()}

    @property
    def errors(self) -> dict[str, str]:
        """Of the steps that have one."""
        results = self.result["step_results"].items()
        return {step_id: step["error"] for step_id, step in results if step["error"] is not None}

    def output(self, step_id: str) -> Any:
        return self.result["step_results"][step_id]["output"]

    def text(self, path: str) -> str:
        """A file of the run's workspace."""
        return (self.workspace / path).read_text(encoding="utf-8")


def plan_of(mission: Mission | str) -> Plan:
    """The plan of a mission, given as YAML text or as it reads."""
    if isinstance(mission, str):
        return check_text(mission).require_plan()
    return check_text(json.dumps(mission), format="json").require_plan()


def run_local(
    mission: Mission | str,
    workspace: Path,
    *,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Ran:
    """Run a mission on the local executor."""
    result = DagExecutor.execute_mission(
        plan_of(mission),
        workspace=workspace,
        environment={**os.environ, **(environment or {})},
        variables=variables,
    )
    return Ran(result.to_json(), workspace)


def run_airflow(
    mission: Mission | str,
    runs: AirflowRuns,
    *,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Ran:
    """Compile a mission and run it under Airflow, whose own states must say what the MissionResult says (§6.2)."""
    run = runs.run(plan_of(mission), conf=variables, env=environment)
    assert run.result is not None, run.states
    assert run.state == ("success" if run.result["status"] == "Completed" else "failed")
    ran = Ran(run.result, run.workspace, run.rendered)
    assert {step_id: run.states[step_id] for step_id in ran.statuses} == {
        step_id: _TASK_STATES[status] for step_id, status in ran.statuses.items()
    }
    return ran


def holding(secret: str, runs: AirflowRuns) -> list[str]:
    """The files of an Airflow that hold a text: its database, its logs, its DAGs; workspaces are the missions' own."""
    needle = secret.encode()
    files = (path for path in runs.home.rglob("*") if path.is_file() and runs.home / "missions" not in path.parents)
    return [str(path.relative_to(runs.home)) for path in files if needle in path.read_bytes()]


Engine = Callable[..., Ran]

AIRFLOW = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]
"""The marks of a test that runs missions under Airflow."""


@pytest.fixture(params=["local", pytest.param("airflow", marks=AIRFLOW)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """``engine(mission, environment=None, variables=None)``: run a mission to its end."""
    if request.param == "local":
        return lambda mission, **given: run_local(mission, tmp_path / "workspace", **given)
    runs: AirflowRuns = request.getfixturevalue("airflow_runs")
    return lambda mission, **given: run_airflow(mission, runs, **given)


# --- missions built from others ---------------------------------------------------------------------


def read(path: Path) -> Mission:
    """A mission file as it reads."""
    mission: Mission = yaml.safe_load(path.read_text(encoding="utf-8"))
    return mission


def without(mission: Mission, dropped: set[str]) -> Mission:
    """A mission without some of its steps: nothing depends on them, and no parameter refers to them."""
    return {
        **mission,
        "steps": [
            {
                **each,
                "depends_on": [upstream for upstream in each.get("depends_on", []) if upstream not in dropped],
                "parameters": {
                    name: value
                    for name, value in each.get("parameters", {}).items()
                    if not any(f"{{{{{step_id}." in str(value) for step_id in dropped)
                },
            }
            for each in mission["steps"]
            if each["id"] not in dropped
        ],
    }


def behind(mission: Mission, *front: dict[str, Any]) -> Mission:
    """A mission whose first steps wait for others put in front of it."""
    ids = [each["id"] for each in front]
    rest = [{**each, "depends_on": each.get("depends_on") or ids} for each in mission["steps"]]
    return {**mission, "steps": [*front, *rest]}
