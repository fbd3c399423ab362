"""One real Airflow for the tests of this folder, with a bundle of missions and a loader file in it."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools.airflow import FOR_LOADER, ApiError, LocalAirflow, dags_folder, mission_bundle

ROOT = Path(__file__).resolve().parents[2]

MISSIONS = Path(__file__).parent / "missions"

TOKEN = "s3cr3t/of the system suite"
"""A secret in the environment of every task."""

PATIENCE = 120.0
"""Seconds after which a wait is a failure, however busy the machine is."""


@dataclass
class Run:
    """One run of one mission, triggered over REST."""

    airflow: LocalAirflow
    dag_id: str
    run_id: str

    @property
    def workspace(self) -> Path:
        return self.airflow.workspaces / self.dag_id / self.run_id

    @property
    def states(self) -> dict[str, str | None]:
        """The state of every task that Airflow knows by now."""
        return self.airflow.states(self.dag_id, self.run_id)

    def task(self, task_id: str) -> Any:
        return self.airflow.api("GET", f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}")

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        return self.airflow.api("GET", path)["value"]

    def cancel(self) -> None:
        """What the UI does when someone marks the run as failed."""
        self.airflow.api("PATCH", f"dags/{self.dag_id}/dagRuns/{self.run_id}", {"state": "failed"})

    def end(self) -> tuple[str, dict[str, Any]]:
        """Wait for the end: the run's state and its MissionResult."""
        state, result = self.airflow.wait(self.dag_id, self.run_id)
        assert result is not None, self.states
        assert result == self.xcom("mission_result")
        return state, result


@dataclass
class Site:
    """A running Airflow and the folders it takes missions from."""

    airflow: LocalAirflow
    bundled: Path
    """What MissionDagBundle compiles."""
    loaded: Path
    """A dags folder with the loader file missions.py in it."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _finished: dict[str, tuple[Run, str, dict[str, Any]]] = field(default_factory=dict)

    def run(self, dag_id: str, conf: dict[str, Any] | None = None) -> Run:
        """Trigger a mission."""
        self.wait_for_dag(dag_id)
        run = Run(self.airflow, dag_id, f"run{next(self._numbers)}")
        self.airflow.trigger(dag_id, run.run_id, conf)
        return run

    def finished(self, dag_id: str) -> tuple[Run, str, dict[str, Any]]:
        """A run that has ended, with its state and MissionResult: one a mission."""
        if dag_id not in self._finished:
            run = self.run(dag_id)
            self._finished[dag_id] = (run, *run.end())
        return self._finished[dag_id]

    def dag(self, dag_id: str) -> Any:
        """What REST says of a DAG; None where it does not know it."""
        try:
            return self.airflow.api("GET", f"dags/{dag_id}/details")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def wait_for_dag(self, dag_id: str) -> Any:
        return wait_for(lambda: self.dag(dag_id), f"a DAG {dag_id}")

    def dags(self) -> dict[str, Any]:
        """Every DAG that is there and can be scheduled, by id."""
        found = self.airflow.api("GET", "dags?limit=1000&exclude_stale=true")["dags"]
        return {dag["dag_id"]: dag for dag in found if not dag["is_paused"] and not dag["is_stale"]}

    def import_errors(self) -> dict[str, str]:
        """What Airflow could not import, by file."""
        found = self.airflow.api("GET", "importErrors?limit=1000")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}


def wait_for(found: Callable[[], Any], what: str) -> Any:
    """Poll until something is there, and give it; AssertionError when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        time.sleep(0.1)
    return value


def noop_mission(name: str) -> str:
    return json.dumps({"name": name, "steps": [{"id": "a", "step_type": "noop", "parameters": {"message": name}}]})


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Airflow on a free port, with the missions of this folder and of dags/ in it from the start."""
    home = tmp_path_factory.mktemp("system")
    bundled, loaded = home / "bundled", home / "loaded"
    bundled.mkdir()
    loaded.mkdir()
    for path in [*MISSIONS.glob("*.yaml"), *(ROOT / "dags").glob("*.yaml")]:
        shutil.copy(path, bundled)
    shutil.copy(ROOT / "dags" / "missions.py", loaded)
    shutil.copy(ROOT / "dags" / "linear_workflow.yaml", loaded / "by_loader.yaml")
    airflow = LocalAirflow(
        home / "airflow",
        bundles=[mission_bundle("missions", bundled), dags_folder("dags-folder", loaded)],
        parallelism=6,
        triggerer=False,
        settings=FOR_LOADER,
        environment={"RUSTCHAIN_SYSTEM_TOKEN": TOKEN},
    )
    with airflow:
        yield Site(airflow, bundled, loaded)
