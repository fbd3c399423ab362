"""What becomes of missions on a real scheduler: what `dag.test()` cannot show, and the specification's own missions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from airflow_site import ROOT, TOKEN, Run, Site, wait_for

from rustchain_airflow import DagExecutor, MissionLoader

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

NOT_STARTED = 'not started: step "{}" failed and fail_fast is on'


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {step_id: step["status"] for step_id, step in result["step_results"].items()}


def errors(result: dict[str, Any]) -> dict[str, str | None]:
    return {step_id: step["error"] for step_id, step in result["step_results"].items()}


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """A MissionResult without what differs from run to run."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            timeless = ("duration_ms", "total_duration_ms", "timestamp", "run_id")
            return {key: without_times(each) for key, each in value.items() if key not in timeless}
        return value

    return dict(without_times(result))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def written_pid(run: Run) -> int:
    return int(wait_for(lambda: (run.workspace / "pid").exists() and (run.workspace / "pid").read_text(), "a pid"))


@pytest.mark.parametrize(
    ("dag_id", "mission"),
    [
        ("error_handling_workflow", "error_handling_workflow"),
        ("linear_workflow", "linear_workflow"),
        ("by_loader", "linear_workflow"),
    ],
    ids=["tolerated failure", "linear", "linear, by the loader"],
)
def test_specification_missions(site: Site, dag_id: str, mission: str, tmp_path: Path) -> None:
    """A mission of the specification succeeds as a DAG, with the local executor's MissionResult."""
    run, state, result = site.finished(dag_id)
    local = DagExecutor.execute_mission(
        MissionLoader.load_from_file(ROOT / "dags" / f"{mission}.yaml"), workspace=tmp_path
    )
    assert state == "success"
    assert comparable(result) == comparable(local.to_json())
    assert {path.name: path.read_text() for path in run.workspace.iterdir()} == {
        path.name: path.read_text() for path in tmp_path.iterdir()
    }


def test_tolerated_failure_is_red(site: Site) -> None:
    """A tolerated failure shows as a failed task with all its attempts, in a run that succeeded (semantics §6.2)."""
    run, state, result = site.finished("error_handling_workflow")
    assert state == "success"
    assert result["status"] == "Completed"
    assert run.states == {
        "mission_start": "success",
        "risky_operation": "failed",
        "fallback_operation": "success",
        "always_execute": "success",
        "mission_result": "success",
    }
    assert run.task("risky_operation")["try_number"] == 4


def test_rendered_fields(site: Site) -> None:
    """The UI shows substituted values with their types, and neither it nor an XCom a secret (semantics §10.2, §8.4)."""
    run = site.run("rendered", {"who": "Ada"})
    state, _ = run.end()
    assert state == "success"
    shown = run.task("shown")["rendered_fields"]
    assert shown["parameters.message"] == "hello Ada from What the UI shows"
    assert shown["parameters.typed"] == [1, 2.5, {"deep": "ü"}]
    assert shown["parameters.jinja"] == "{% raw %} {{.Names}} {# x #}"
    assert shown["parameters.header"] == "Bearer ***"
    everything = str([shown, run.xcom("shown"), run.xcom("shown", "step_result"), run.xcom("mission_result")])
    assert TOKEN not in everything
    logs = "".join(path.read_text() for path in site.airflow.logs.glob(f"dag_id=rendered/run_id={run.run_id}/**/*.log"))
    assert "hello Ada" in logs
    assert TOKEN not in logs


@pytest.fixture
def in_flight(site: Site, request: pytest.FixtureRequest) -> Run:
    """A run whose step `long` goes on until the file `release` is there, while another one has failed already."""
    dag_id, failing = request.param
    run = site.run(dag_id)
    wait_for(lambda: run.states.get(failing) == "failed", f"{failing} to fail")
    assert run.states["long"] == "running"
    return run


@pytest.mark.parametrize("in_flight", [("fail_fast_in_flight", "bad")], indirect=True, ids=[""])
def test_fail_fast_in_flight(in_flight: Run) -> None:
    """After a strict failure a step that runs goes on to its own end, and nothing else starts (semantics §4.1)."""
    (in_flight.workspace / "release").touch()
    state, result = in_flight.end()
    assert (state, result["status"]) == ("failed", "Failed")
    assert result["step_results"]["long"]["output"]["stdout"] == "finished\n"
    assert errors(result) == {
        "long": None,
        "bad": "exit code 3",
        "after_long": NOT_STARTED.format("bad"),
        "after_bad": 'dependency "bad" failed',
        "without_a_slot": NOT_STARTED.format("bad"),
    }


@pytest.mark.parametrize("in_flight", [("killed", "victim")], indirect=True, ids=[""])
def test_killed_task(in_flight: Run) -> None:
    """A task process that is killed hard is that step's failure; fail_fast holds though it could not say so (§3.1)."""
    (in_flight.workspace / "release").touch()
    state, result = in_flight.end()
    assert (state, result["status"]) == ("failed", "Failed")
    assert statuses(result) == {
        "long": "Success",
        "victim": "Failed",
        "after_long": "Skipped",
        "after_victim": "Skipped",
    }
    assert errors(result)["after_long"] == NOT_STARTED.format("victim")


def test_concurrency_limit(site: Site) -> None:
    """max_concurrent_steps steps of a run are in flight together, never more (semantics §2.3)."""
    run = site.run("limit")
    state, _ = run.end()
    assert state == "success"
    tasks = [run.task(f"s{number}") for number in range(1, 6)]
    changes = sorted([(task["start_date"], 1) for task in tasks] + [(task["end_date"], -1) for task in tasks])
    running = [sum(change for _, change in changes[: place + 1]) for place in range(len(changes))]
    assert max(running) == 2


def test_file_order(site: Site) -> None:
    """With a limit of one, steps start in file order wherever dependencies allow (semantics §2.4)."""
    run = site.run("file_order")
    run.end()
    tasks = [run.task(step_id) for step_id in ("zebra", "last", "apple", "monkey")]
    started = [task["task_id"] for task in sorted(tasks, key=lambda task: task["start_date"])]
    assert started == ["zebra", "apple", "last", "monkey"]


def test_step_timeout(site: Site) -> None:
    """A step whose time is up is stopped with what it started, keeps its output, and fails (semantics §5.3)."""
    run = site.run("step_timeout")
    state, result = run.end()
    assert (state, result["status"]) == ("success", "Completed")
    assert errors(result) == {"slow": "timed out after 2 s", "next": None}
    assert result["step_results"]["next"]["output"]["message"] == "begun\n"
    assert not is_running(written_pid(run))


def test_mission_timeout(site: Site) -> None:
    """A mission whose time is up: what runs is stopped, the rest is skipped, and there is a result (semantics §5.4)."""
    run = site.run("mission_timeout")
    state, result = run.end()
    assert (state, result["status"]) == ("failed", "Failed")
    assert statuses(result) == {"quick": "Success", "slow": "Failed", "late": "Skipped"}
    assert errors(result) == {
        "quick": None,
        "slow": "mission timed out after 15 s",
        "late": "mission timed out after 15 s",
    }
    assert not is_running(written_pid(run))


def test_cancel(site: Site) -> None:
    """A run that is marked as failed ends Cancelled: its running step stopped, the rest skipped (semantics §6.1)."""
    run = site.run("cancelled")
    pid = written_pid(run)
    run.cancel()
    state, result = run.end()
    assert (state, result["status"]) == ("failed", "Cancelled")
    assert statuses(result) == {"before": "Success", "hold": "Failed", "later": "Skipped"}
    assert errors(result) == {"before": None, "hold": "mission was cancelled", "later": "mission was cancelled"}
    wait_for(lambda: not is_running(pid), "the step's process to end")
