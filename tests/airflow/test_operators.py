"""What a step's task does around the step: rendering, guarding, recording, ending."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow_runs import AirflowRun

from rustchain_airflow.check import plan_mission
from rustchain_airflow.local.executor import DagExecutor
from rustchain_airflow.mission import Mission

pytestmark = pytest.mark.airflow

RunPlan = Callable[..., AirflowRun]


def mission(*steps: dict[str, Any], **rest: Any) -> Any:
    given = [{"step_type": "noop", **step} for step in steps]
    return plan_mission(
        Mission.model_validate({"name": "m", "version": "1.0", "steps": given, **rest}), variables=rest.get("given", ())
    )


def shell(line: str) -> dict[str, Any]:
    return {"step_type": "command", "parameters": {"command": "sh", "args": ["-c", line]}}


def test_rendered_fields(run_plan: RunPlan) -> None:
    """Each parameter shows as a field of its own, with its value filled in and its type kept (semantics §10.2)."""
    plan = mission(
        {"id": "a", "parameters": {"n": 42, "message": "hi"}},
        {"id": "b", "parameters": {"message": "{{ a.output.parameters.n }}", "n": "{{ a.output.parameters.n }}"}},
        {"id": "c", "parameters": {"message": "{{ a.output.message }} {% if %} {{ .Go }} {{ context.x }}"}},
        variables={"x": "there"},
    )
    run = run_plan(plan)
    assert run.rendered["b"] == {"step_type": "noop", "parameters.message": 42, "parameters.n": 42}
    assert run.rendered["c"]["parameters.message"] == "hi {% if %} {{ .Go }} there"


def test_long_values_keep_the_others(run_plan: RunPlan) -> None:
    """A value beyond Airflow's 4,096 characters is cut short by itself; its neighbours keep their form."""
    run = run_plan(mission({"id": "a", "parameters": {"message": "x" * 6000, "list": [1, {"a": 2}]}}))
    assert run.rendered["a"]["parameters.list"] == [1, {"a": 2}]
    assert run.rendered["a"]["parameters.message"].startswith("Truncated")
    assert run.result["step_results"]["a"]["output"]["message"] == "x" * 6000


def test_secrets_are_masked(run_plan: RunPlan) -> None:
    """The value of a secret environment variable is in no rendered field, no output and no error (semantics §8.4)."""
    plan = mission(
        {"id": "a", "parameters": {"message": "token {{ env.SERVICE_TOKEN }}"}},
        {
            "id": "b",
            **shell("echo {{ env.SERVICE_TOKEN }}; echo {{ env.SERVICE_TOKEN }} >&2; false"),
            "continue_on_error": True,
        },
    )
    run = run_plan(plan, env={"SERVICE_TOKEN": "s3cr3t-value-of-it"})
    assert run.statuses == {"a": "Success", "b": "Failed"}
    assert "s3cr3t-value-of-it" not in repr((run.rendered, run.result))
    assert "***" in run.rendered["a"]["parameters.message"]


def test_conf_and_params(run_plan: RunPlan) -> None:
    """Context variables come from the mission, its inputs' defaults, and the run's conf; later wins (§7.4)."""
    plan = mission(
        {"id": "a", "parameters": {"message": "{{ region }}/{{ rows }}/{{ style }}", "style": "{{ style }}"}},
        variables={"region": "eu"},
        parameters=[{"name": "rows", "type": "integer", "default": 10}, {"name": "style", "type": "string"}],
    )
    assert run_plan(plan).result["step_results"]["a"]["output"]["message"] == "eu/10/null"
    run = run_plan(plan, conf={"region": "us", "rows": 3, "style": "short"})
    assert run.result["step_results"]["a"]["output"]["message"] == "us/3/short"


def test_retries_are_counted(run_plan: RunPlan) -> None:
    """Attempts and their time add up over Airflow's tries (semantics §5.1, §5.5)."""
    plan = mission(
        {"id": "a", **shell("sleep 0.2; false"), "retry_attempts": 2, "retry_delay_ms": 0}, config={"fail_fast": False}
    )
    result = run_plan(plan).result["step_results"]["a"]
    assert result["attempts"] == 3
    assert result["duration_ms"] >= 600
    assert result["error"] == "exit code 1"


def test_the_first_dependency_is_named(run_plan: RunPlan, tmp_path: Path) -> None:
    """Of several dependencies that stop a step, both engines name the first in the file (semantics §3.3)."""
    steps = [{"id": "a", **shell("false")}, {"id": "b", **shell("false")}]
    plan = mission(*steps, {"id": "c", "depends_on": ["b", "a"]}, config={"fail_fast": False})
    local = DagExecutor.execute_mission(plan, workspace=tmp_path).step_results["c"].error
    assert local == 'dependency "a" failed'
    assert [run_plan(plan, table=table).errors["c"] for table in (False, True)] == [local, local]


def test_refusals_are_not_retried(run_plan: RunPlan) -> None:
    """What no retry can mend fails at once (semantics §5.2)."""
    plan = mission({"id": "a", "parameters": {"message": "{{ env.SURELY_NOT_SET }}"}, "retry_attempts": 3})
    run = run_plan(plan)
    assert run.result["step_results"]["a"]["attempts"] == 1
    assert "SURELY_NOT_SET is not set" in run.errors["a"]


def test_output_of_a_tolerated_failure(run_plan: RunPlan) -> None:
    """A failed step leaves what it had produced for those that tolerate it (semantics §3.6)."""
    plan = mission(
        {"id": "a", **shell("echo half; exit 3"), "continue_on_error": True},
        {"id": "b", "parameters": {"message": "{{ a.output.exit_code }} {{ a.status }} {{ a.error }}"}},
    )
    assert run_plan(plan).result["step_results"]["b"]["output"]["message"] == "3 Failed exit code 3"


def test_mission_timeout(run_plan: RunPlan) -> None:
    """When the mission's time is up, what runs is stopped and the rest skipped, and there is a result (§5.4)."""
    plan = mission(
        {"id": "quick"},
        {"id": "slow", **shell("sleep 60"), "continue_on_error": True, "retry_attempts": 2},
        {"id": "after", "depends_on": ["slow"]},
        {"id": "other", "depends_on": ["quick"]},
        config={"timeout_seconds": 4, "fail_fast": False},
    )
    run = run_plan(plan)
    assert run.result["status"] == "Failed"
    assert run.state == "failed"
    assert run.errors == {
        "quick": None,
        "slow": "mission timed out after 4 s",
        "after": "mission timed out after 4 s",
        "other": None if run.statuses["other"] == "Success" else "mission timed out after 4 s",
    }


def test_fail_fast_ends_waiting_retries(run_plan: RunPlan) -> None:
    """A step that waits for its next attempt when fail_fast strikes ends as its last attempt did (ADR 9)."""
    plan = mission(
        {"id": "again", **shell("echo tried; exit 4"), "retry_attempts": 3, "retry_delay_ms": 1500},
        {"id": "bad", **shell("exit 5")},
        {"id": "rest", "depends_on": ["again"]},
    )
    run = run_plan(plan)
    again = run.result["step_results"]["again"]
    assert (again["status"], again["attempts"], again["error"]) == ("Failed", 1, "exit code 4")
    assert again["output"]["stdout"] == "tried\n"
    assert run.errors["rest"] == 'not started: step "bad" failed and fail_fast is on'


def test_lost_worker(run_plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ends without leaving a result is a failed step with a reason (semantics §3.1)."""
    from rustchain_airflow.operators import MissionResultOperator, _record

    monkeypatch.setattr(MissionResultOperator, "patience", timedelta(0))
    push = _record.push
    monkeypatch.setattr(_record, "push", lambda ti, result: None if ti.task_id == "lost" else push(ti, result))
    plan = mission(
        {"id": "lost", **shell("false")}, {"id": "after", "depends_on": ["lost"]}, config={"fail_fast": False}
    )
    run = run_plan(plan)
    assert run.statuses == {"lost": "Failed", "after": "Skipped"}
    assert "worker was lost" in run.errors["lost"]
    assert run.result["status"] == "Failed"


def test_cancel(run_plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the worker is told to stop a step, its work is stopped and the mission is Cancelled (semantics §6.1)."""
    before = signal.getsignal(signal.SIGTERM)
    plan = mission(
        {"id": "long", **shell("kill -TERM $PPID; sleep 60; touch never"), "retry_attempts": 2},
        {"id": "after", "depends_on": ["long"]},
    )
    try:
        run = run_plan(plan)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run.result["status"] == "Cancelled"
    assert run.state == "failed"
    assert run.errors == {"long": "mission was cancelled", "after": "mission was cancelled"}
    assert run.result["step_results"]["long"]["attempts"] == 1
    assert not (run.workspace / "never").exists()


def test_documentation(airflow_home: Path) -> None:
    """A task says what its step type does, and shows it as its kind (semantics §10.2)."""
    from rustchain_airflow.operators import ControlOperator
    from rustchain_airflow.steps import catalog

    task = ControlOperator(task_id="a", step_type="noop")
    assert task.doc_md == catalog.load("noop").summary
    assert task.operator_name == "noop"


def test_our_own_task_ids_give_way(run_plan: RunPlan) -> None:
    """A step may be called mission_result: the mission's own result is found all the same (semantics §10.1)."""
    run = run_plan(mission({"id": "mission_result"}, {"id": "b", "depends_on": ["mission_result"]}))
    assert run.statuses == {"mission_result": "Success", "b": "Success"}
    assert run.states["mission_result_2"] == "success"


def test_workspace(run_plan: RunPlan) -> None:
    """The steps of a run share a folder of that run (semantics §10.5)."""
    plan = mission({"id": "a", **shell("echo hi > a.txt")}, {"id": "b", **shell("cat a.txt"), "depends_on": ["a"]})
    run = run_plan(plan)
    assert run.result["step_results"]["b"]["output"]["stdout"] == "hi\n"
    assert (run.workspace / "a.txt").read_text() == "hi\n"
    assert run.workspace.parent.name.startswith("m_")
    assert not (run_plan(plan).workspace / "b.txt").exists()


def test_programs_do_not_see_airflow(run_plan: RunPlan) -> None:
    """Airflow's settings, which hold its secrets, are not in the environment of a step's programs (semantics §8.4)."""
    run = run_plan(mission({"id": "a", **shell("env")}), env={"AIRFLOW__CORE__FERNET_KEY": "", "SEEN": "yes"})
    assert "AIRFLOW__" not in run.result["step_results"]["a"]["output"]["stdout"]
    assert "SEEN=yes" in run.result["step_results"]["a"]["output"]["stdout"]
