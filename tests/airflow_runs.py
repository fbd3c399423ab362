"""Runs plans as compiled DAGs on a real Airflow in this process: one database a session, about 0.4 s a run.

The tasks of a run go one after another, the weightiest first, through the real execution API and metadata database: a
scheduler with one slot. Only what needs two steps in flight together is out of its reach.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.codegen.airflow_dag import generate
from rustchain_airflow.plan import Plan

BUNDLE = "plans"


@dataclass(frozen=True)
class AirflowRun:
    """How one run of one plan ended."""

    result: dict[str, Any] | None
    """The MissionResult, as the XCom of mission_result holds it; None when there is none."""
    states: dict[str, str | None]
    """Airflow's state of every task."""
    state: str
    """Airflow's state of the run."""
    workspace: Path
    rendered: dict[str, dict[str, Any]]
    """By task id, the rendered fields as the UI shows them."""

    @property
    def statuses(self) -> dict[str, str]:
        """Step id to status, in file order."""
        assert self.result is not None, self.states
        return {step_id: step["status"] for step_id, step in self.result["step_results"].items()}

    @property
    def errors(self) -> dict[str, str | None]:
        assert self.result is not None, self.states
        return {step_id: step["error"] for step_id, step in self.result["step_results"].items()}


class AirflowRuns:
    """An Airflow home with a database and one bundle, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bundle = home / "plans"
        self.bundle.mkdir(parents=True)
        self._numbers = itertools.count(1)

    def run(
        self,
        plan: Plan,
        *,
        conf: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        table: bool | None = None,
    ) -> AirflowRun:
        """Compile a plan and run it to its end; ``env`` is added to the environment meanwhile."""
        slug = re.sub(r"\W+", "_", plan.name.lower(), flags=re.ASCII).strip("_")[:60]
        dag_id = f"{slug}_{next(self._numbers)}"
        return self.run_source(generate(plan, dag_id=dag_id, version="0", table=table), dag_id, conf=conf, env=env)

    def run_source(
        self, source: str, dag_id: str, *, conf: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
    ) -> AirflowRun:
        """Run a DAG from its source text."""
        path = self.bundle / f"{dag_id}.py"
        path.write_text(source)
        before = {name: os.environ.get(name) for name in env or {}}
        os.environ.update(env or {})
        try:
            return self._run(load_dag(path), conf)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            path.unlink()

    @staticmethod
    def _run(dag: Any, conf: Mapping[str, Any] | None) -> AirflowRun:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        from rustchain_airflow.operators._mission import workspace_folder

        (result_task,) = (task.task_id for task in dag.tasks if task.is_teardown)
        with _one_slot():
            dag_run = dag.test(run_conf=dict(conf or {}))
        with create_session() as session:
            result = session.scalar(
                XComModel.get_many(run_id=dag_run.run_id, key="return_value", dag_ids=dag.dag_id, task_ids=result_task)
            )
            rendered = session.execute(
                select(RenderedTaskInstanceFields.task_id, RenderedTaskInstanceFields.rendered_fields).where(
                    RenderedTaskInstanceFields.dag_id == dag.dag_id, RenderedTaskInstanceFields.run_id == dag_run.run_id
                )
            ).all()
            return AirflowRun(
                result=None if result is None else XComModel.deserialize_value(result),
                states={ti.task_id: None if ti.state is None else str(ti.state) for ti in dag_run.get_task_instances()},
                state=str(dag_run.state),
                workspace=workspace_folder(dag.dag_id, dag_run.run_id),
                rendered=dict(rendered),
            )


@contextmanager
def _one_slot() -> Iterator[None]:
    """Have `dag.test()` do what a scheduler with one slot does.

    By itself it runs whatever is ready in no order, all of it before it looks again; and it sleeps a second whenever
    nothing is ready, also while skips are still on their way. Here one task runs at a time, the weightiest first.
    """
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions import dag as dag_module

    sleep, update_state, run_task = time.sleep, DagRun.update_state, dag_module._run_task
    taken = False

    def shorter(seconds: float) -> None:
        asked_by = sys._getframe(1).f_globals["__name__"]
        sleep(min(seconds, 0.02) if asked_by == dag_module.__name__ else seconds)

    def look_again(*args: Any, **kwargs: Any) -> Any:
        nonlocal taken
        taken = False
        return update_state(*args, **kwargs)

    def run_weightiest(*, ti: Any, **kwargs: Any) -> Any:
        nonlocal taken
        if taken or min(ti.get_dagrun().get_task_instances(state=["scheduled"]), key=_rank).task_id != ti.task_id:
            return None
        taken = True
        return run_task(ti=ti, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", shorter)
        patch.setattr(DagRun, "update_state", look_again)
        patch.setattr(dag_module, "_run_task", run_weightiest)
        yield


def _rank(ti: Any) -> tuple[bool, int]:
    """Tasks that take no slot come first, as in a scheduler; the others by weight."""
    return ti.operator not in ("EmptyOperator", "MissionStartOperator"), -ti.priority_weight


def load_dag(path: Path) -> Any:
    """The one DAG of a file."""
    from airflow.sdk import DAG

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (dag,) = (value for value in vars(module).values() if isinstance(value, DAG))
    return dag


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new Airflow home, configured by environment before anything imports Airflow."""
    home = tmp_path_factory.mktemp("airflow")
    bundles = f'[{{"name": "{BUNDLE}", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", '
    bundles += f'"kwargs": {{"path": "{home / "plans"}"}}}}]'
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__RUSTCHAIN__WORKSPACE_ROOT": str(home / "missions"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="session")
def airflow_runs(airflow_home: Path) -> AirflowRuns:
    """A migrated database, and a way to run plans on it."""
    runs = AirflowRuns(airflow_home)
    from airflow.utils.db import initdb

    initdb()
    logging.getLogger("airflow").setLevel(logging.WARNING)
    return runs


@pytest.fixture
def run_plan(airflow_runs: AirflowRuns) -> Callable[..., AirflowRun]:
    """``run_plan(plan, conf=None, env=None)``: compile a plan, run it, and give back how it ended."""
    return airflow_runs.run
