"""How mission_result reads what Airflow and the steps left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_runs import AirflowRuns

from rustchain_airflow.check import check_text
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.semantics import StepStatus

pytestmark = pytest.mark.airflow

START = datetime(2026, 1, 1, tzinfo=UTC)


class Left:
    """A run that has ended: the state of each task, and the result each step left, with the second it did."""

    def __init__(self, states: dict[str, str], records: dict[str, tuple[StepResult, int]]) -> None:
        self.states, self.records = states, records
        self.task_id, self.dag_id, self.run_id = "mission_result", "m", "r"

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [{"task_id": task_id, "state": state} for task_id, state in self.states.items()]

    def xcom_pull(self, task_ids: str, key: str, map_indexes: None) -> Any:
        if task_ids not in self.records:
            return None
        result, second = self.records[task_ids]
        value = result.to_json()
        output = value.pop("output")
        ended = (START + timedelta(seconds=second)).isoformat()
        return (
            output
            if key == "return_value"
            else {**value, "has_output": output is not None, "output_text": None, "ended": ended}
        )


@pytest.fixture
def gather(airflow_home: Path, monkeypatch: pytest.MonkeyPatch):
    """``gather(steps, states, records, **policy)``: the MissionResult. Steps are ``id: upstream``, ~ for tolerated."""
    from airflow.sdk import DAG

    from rustchain_airflow.operators import ControlOperator, MissionResultOperator

    monkeypatch.setattr(MissionResultOperator, "patience", timedelta(0))

    class DagRun:
        dag_id, run_id, start_date = "m", "r", datetime.now(UTC)

    def result(steps: dict[str, list[str]], states: dict[str, str], records: dict[str, Any], **policy: Any) -> Any:
        with DAG(dag_id="m", schedule=None, default_args=policy):
            tasks = {
                name.strip("~"): ControlOperator(
                    task_id=name.strip("~"), step_type="noop", continue_on_error=name.startswith("~")
                )
                for name in steps
            }
            for name, upstream in steps.items():
                for other in upstream:
                    tasks[other] >> tasks[name.strip("~")]
            task = MissionResultOperator(task_id="mission_result")
        found = task._mission_result({"ti": Left(states, records), "dag_run": DagRun})
        return found.status.value, {
            step.step_id: (step.status.value, step.error) for step in found.step_results.values()
        }

    return result


def success(step_id: str) -> StepResult:
    return StepResult(step_id, StepStatus.SUCCESS, output={}, attempts=1)


def failed(step_id: str, error: str = "no") -> StepResult:
    return StepResult(step_id, StepStatus.FAILED, error=error, attempts=1)


def test_first_failure_is_named(gather) -> None:
    """Under fail_fast the steps left behind name the one that failed first, whatever its place in the file."""
    states = {"a": "failed", "b": "failed", "c": "skipped"}
    records = {"a": (failed("a"), 9), "b": (failed("b"), 3)}
    status, steps = gather({"a": [], "b": [], "c": []}, states, records)
    assert status == "Failed"
    assert steps["c"] == ("Skipped", 'not started: step "b" failed and fail_fast is on')


def test_cancelled_between_steps(gather) -> None:
    """Steps that are skipped though nothing in the mission says so were cancelled."""
    states = {"a": "success", "b": "skipped", "c": "skipped"}
    status, steps = gather({"a": [], "b": ["a"], "c": ["b"]}, states, {"a": (success("a"), 1)})
    assert status == "Cancelled"
    assert steps["b"] == ("Skipped", "mission was cancelled")


def test_cancelled_while_a_step_ran(gather) -> None:
    """A step that a cancel ended before it could say so has that as its error."""
    states = {"a": "failed", "b": "success", "c": "skipped"}
    status, steps = gather({"a": [], "b": [], "c": ["b"]}, states, {"b": (success("b"), 1)}, fail_fast=False)
    assert status == "Cancelled"
    assert steps["a"] == ("Failed", "mission was cancelled")


def test_cancelled_under_fail_fast(gather) -> None:
    """A step that a cancel failed did not trigger fail_fast: what waits for it is skipped, not upstream_failed."""
    status, steps = gather({"a": [], "b": ["a"], "c": ["b"]}, {"a": "failed", "b": "skipped", "c": "skipped"}, {})
    assert status == "Cancelled"
    assert steps == {
        "a": ("Failed", "mission was cancelled"),
        "b": ("Skipped", "mission was cancelled"),
        "c": ("Skipped", 'dependency "b" was skipped'),
    }


def test_lost_worker_under_fail_fast(gather) -> None:
    """A lost worker triggers fail_fast: what it leaves behind names it, guarded or downstream."""
    guarded = StepResult.skipped("c", "not started")
    states = {"a": "failed", "b": "upstream_failed", "c": "skipped", "d": "skipped"}
    status, steps = gather({"a": [], "b": ["a"], "c": [], "d": ["c"]}, states, {"c": (guarded, 4)})
    assert status == "Failed"
    assert steps["b"] == ("Skipped", 'dependency "a" failed')
    assert steps["c"] == ("Skipped", 'not started: step "a" failed and fail_fast is on')


def test_lost_worker_is_no_cancel(gather) -> None:
    """A worker that was lost fails its step; what is downstream is skipped for that reason."""
    states = {"a": "failed", "b": "upstream_failed"}
    status, steps = gather({"a": [], "b": ["a"]}, states, {}, fail_fast=False)
    assert status == "Failed"
    assert "worker was lost" in steps["a"][1]
    assert steps["b"] == ("Skipped", 'dependency "a" failed')


def test_mission_timeout_beats_cancel(gather) -> None:
    """A mission whose time ran out is Failed, though steps were stopped."""
    error = "mission timed out after 5 s"
    states = {"~a": "failed", "a": "failed", "b": "skipped"}
    status, steps = gather(
        {"~a": [], "b": ["a"]}, states, {"a": (failed("a", error), 1)}, mission_timeout=timedelta(seconds=5)
    )
    assert status == "Failed"
    assert steps["b"] == ("Skipped", error)


def test_marked_by_hand(gather) -> None:
    """What people mark in the UI counts: a failed step that was marked a success is one."""
    states = {"a": "success", "b": "success"}
    status, steps = gather({"a": [], "b": ["a"]}, states, {"a": (failed("a"), 1), "b": (success("b"), 2)})
    assert status == "Completed"
    assert steps["a"] == ("Success", None)


def test_every_step_has_a_result(gather) -> None:
    """A step that Airflow says nothing about is skipped: every step has exactly one result, in file order (§3.5)."""
    _, steps = gather({"b": [], "a": ["b"]}, {}, {})
    assert list(steps) == ["b", "a"]
    assert {status for status, _ in steps.values()} == {"Skipped"}


def test_nothing_outlives_its_run(airflow_runs: AirflowRuns) -> None:
    """What process_start left running is ended with the run, as in the local engine (steps.md, system)."""
    plan = check_text(
        "steps: [{id: serve, step_type: process_start, parameters: {command: sleep, args: ['600'], name: server}}]"
    ).require_plan()
    run = airflow_runs.run(plan)
    assert run.result is not None
    pid = run.result["step_results"]["serve"]["output"]["pid"]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
