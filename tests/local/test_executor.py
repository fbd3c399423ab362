"""The local executor holds the semantics: outcomes, retries, time, order and cancellation."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rustchain_airflow.check import InvalidMission, check_text
from rustchain_airflow.local.executor import DagExecutor, Execution
from rustchain_airflow.local.reporter import Silent
from rustchain_airflow.mission import Mission, MissionStep
from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext
from rustchain_airflow.runtime.inputs import InvalidInputs
from rustchain_airflow.runtime.results import MissionResult, StepResult

OK = "step_type: noop"
FAIL = 'step_type: command, parameters: {command: "false"}'
SLEEP = "step_type: command, parameters: {command: sleep, args: [30]}"


def plan_of(text: str) -> Plan:
    return check_text(text).require_plan()


def run(text: str, workspace: Path, **options: Any) -> MissionResult:
    return DagExecutor.execute_mission(plan_of(text), workspace=workspace, **options)


def outcomes(result: MissionResult) -> dict[str, str]:
    return {step_id: step.status.value for step_id, step in result.step_results.items()}


class Told(Silent):
    """Remembers in which order steps started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.event = threading.Event()

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        self.started.append(f"{step.id}#{attempt}" if attempt > 1 else step.id)
        self.event.set()


@pytest.mark.parametrize(
    ("steps", "config", "expected", "status"),
    [
        pytest.param(
            f"[{{id: a, continue_on_error: true, {FAIL}}}, {{id: b, depends_on: [a], {OK}}}]",
            "{}",
            {"a": "Failed", "b": "Success"},
            "Completed",
            id="3.2 a tolerated failure lets its dependents run",
        ),
        pytest.param(
            f"[{{id: a, {FAIL}}}, {{id: b, depends_on: [a], {OK}}}, {{id: c, depends_on: [b], {OK}}}]",
            "{fail_fast: false}",
            {"a": "Failed", "b": "Skipped", "c": "Skipped"},
            "Failed",
            id="3.3 skips propagate",
        ),
        pytest.param(
            f"[{{id: s, {FAIL}}}, {{id: t, continue_on_error: true, {FAIL}}}, {{id: x, depends_on: [t, s], {OK}}}]",
            "{fail_fast: false}",
            {"s": "Failed", "t": "Failed", "x": "Skipped"},
            "Failed",
            id="3.3 one strict failure among dependencies is enough",
        ),
        pytest.param(
            f"[{{id: a, {FAIL}}}, {{id: b, depends_on: [a], continue_on_error: true, {OK}}}]",
            "{fail_fast: false}",
            {"a": "Failed", "b": "Skipped"},
            "Failed",
            id="3.4 the flag speaks of the step's own failure only",
        ),
        pytest.param(
            f"[{{id: a, {FAIL}}}, {{id: b, {OK}}}]",
            "{fail_fast: true, max_concurrent_steps: 1}",
            {"a": "Failed", "b": "Skipped"},
            "Failed",
            id="4.1 fail_fast starts nothing after a strict failure",
        ),
        pytest.param(
            f"[{{id: a, {FAIL}}}, {{id: b, {OK}}}]",
            "{fail_fast: false, max_concurrent_steps: 1}",
            {"a": "Failed", "b": "Success"},
            "Failed",
            id="4.2 without fail_fast other branches run",
        ),
        pytest.param(
            f"[{{id: a, continue_on_error: true, {FAIL}}}, {{id: b, {OK}}}]",
            "{max_concurrent_steps: 1}",
            {"a": "Failed", "b": "Success"},
            "Completed",
            id="4.3 a tolerated failure never triggers fail_fast",
        ),
    ],
)
def test_outcomes(tmp_path: Path, steps: str, config: str, expected: dict[str, str], status: str) -> None:
    """Each step ends as the table of semantics.py says, and so does the mission."""
    result = run(f"config: {config}\nsteps: {steps}", tmp_path)
    assert outcomes(result) == expected
    assert result.status == status


def test_skip_reasons(tmp_path: Path) -> None:
    """A skipped step names the dependency that stopped it; one that fail_fast stopped names the failed step."""
    chain = run(
        f"config: {{fail_fast: false}}\nsteps: [{{id: a, {FAIL}}}, {{id: b, depends_on: [a], {OK}}}, "
        f"{{id: c, depends_on: [b], {OK}}}]",
        tmp_path,
    )
    assert chain.step_results["b"].error == 'dependency "a" failed'
    assert chain.step_results["c"].error == 'dependency "b" was skipped'
    fast = run(
        f"config: {{max_concurrent_steps: 1}}\nsteps: [{{id: a, {FAIL}}}, {{id: b, {OK}}}, "
        f"{{id: c, depends_on: [a], {OK}}}]",
        tmp_path,
    )
    assert fast.step_results["b"].error == 'not started: step "a" failed and fail_fast is on'
    assert fast.step_results["c"].error == 'dependency "a" failed'
    assert fast.step_results["b"].to_json()["output"] is None
    assert fast.step_results["b"].attempts == 0


def test_retries_are_used_up_before_a_failure_counts(tmp_path: Path) -> None:
    """Attempts = 1 + retry_attempts; a later attempt may succeed (semantics §5.1)."""
    script = "test -f tried && exit 0; touch tried; exit 7"
    result = run(
        "config: {retry_attempts: 3, retry_delay_ms: 1}\n"
        f"steps: [{{id: a, step_type: command, parameters: {{command: '{script}', shell: true}}}}, "
        f"{{id: b, continue_on_error: true, {FAIL}}}]",
        tmp_path,
    )
    assert result.step_results["a"].attempts == 2
    assert result.step_results["b"].attempts == 4
    assert result.status == "Completed"


def test_refusals_are_not_retried(tmp_path: Path) -> None:
    """Unresolvable references fail at the first attempt (semantics §5.2)."""
    result = run(
        "config: {retry_attempts: 3, retry_delay_ms: 1}\n"
        'steps: [{id: a, step_type: noop, parameters: {message: "{{ env.SURELY_NOT_SET }}"}}]',
        tmp_path,
        environment={"SURELY_SET": "1"},
    )
    assert result.step_results["a"].attempts == 1
    error = result.step_results["a"].error
    assert error is not None
    assert "SURELY_NOT_SET is not set" in error


def test_a_waiting_retry_holds_no_slot(tmp_path: Path) -> None:
    """With one slot, another step runs while a failed one waits for its next attempt (semantics §5.1)."""
    told = Told()
    run(
        "config: {max_concurrent_steps: 1, fail_fast: false}\n"
        f"steps: [{{id: a, retry_attempts: 1, retry_delay_ms: 200, {FAIL}}}, {{id: b, {OK}}}]",
        tmp_path,
        reporter=told,
    )
    assert told.started == ["a", "b", "a#2"]


def test_file_order_decides_among_ready_steps(tmp_path: Path) -> None:
    """With a limit of 1 a mission runs in file order wherever dependencies allow (semantics §2.4)."""
    told = Told()
    run(
        f"config: {{max_concurrent_steps: 1}}\nsteps: [{{id: d, depends_on: [b], {OK}}}, {{id: a, {OK}}}, "
        f"{{id: b, {OK}}}, {{id: c, {OK}}}]",
        tmp_path,
        reporter=told,
    )
    assert told.started == ["a", "b", "d", "c"]


def test_step_timeout(tmp_path: Path) -> None:
    """timeout_seconds bounds one attempt; the work is stopped and the error says so (semantics §5.3)."""
    result = run(f"steps: [{{id: a, timeout_seconds: 0.3, {SLEEP}}}]", tmp_path)
    assert result.step_results["a"].status == "Failed"
    assert result.step_results["a"].error == "timed out after 0.3 s"


def test_mission_timeout(tmp_path: Path) -> None:
    """When the mission's time is up, running steps are stopped and the rest is skipped (semantics §5.4)."""
    result = run(
        "config: {timeout_seconds: 0.5, max_concurrent_steps: 1}\n"
        f"steps: [{{id: ok, {OK}}}, {{id: a, continue_on_error: true, {SLEEP}}}, {{id: b, {OK}}}]",
        tmp_path,
    )
    assert outcomes(result) == {"ok": "Success", "a": "Failed", "b": "Skipped"}
    assert result.step_results["a"].error == "mission timed out after 0.5 s"
    assert result.step_results["b"].error == "mission timed out after 0.5 s"
    assert result.status == "Failed"


def test_fail_fast_drains(tmp_path: Path) -> None:
    """Steps that run when another fails finish and keep their outcome (semantics §4.1)."""
    until_failed = "while ! test -f failed; do sleep 0.02; done; sleep 0.2"
    wait = f"step_type: command, parameters: {{command: '{until_failed}', shell: true}}"
    fail = "step_type: command, parameters: {command: 'touch failed; exit 1', shell: true}"
    result = run(
        f"config: {{max_concurrent_steps: 2}}\nsteps: [{{id: slow, {wait}}}, {{id: bad, {fail}}}, "
        f"{{id: after, depends_on: [slow], {OK}}}]",
        tmp_path,
    )
    assert outcomes(result) == {"slow": "Success", "bad": "Failed", "after": "Skipped"}
    assert result.step_results["after"].error == 'not started: step "bad" failed and fail_fast is on'


def test_cancel(tmp_path: Path) -> None:
    """A cancelled mission stops what runs, skips the rest, and says Cancelled (semantics §6.1)."""
    told = Told()
    execution = Execution(
        plan_of(f"config: {{max_concurrent_steps: 1}}\nsteps: [{{id: a, {SLEEP}}}, {{id: b, {OK}}}]"),
        workspace=tmp_path,
        reporter=told,
    )

    def cancel() -> None:
        told.event.wait()
        execution.cancel()

    threading.Thread(target=cancel).start()
    began = time.monotonic()
    result = execution.run()
    assert result.status == "Cancelled"
    assert outcomes(result) == {"a": "Failed", "b": "Skipped"}
    assert result.step_results["b"].error == "mission was cancelled"
    assert time.monotonic() - began < 25, "the sleep of 30 s was waited for"


def test_an_interrupted_caller_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C in a program that calls execute_mission ends the running step before it goes on."""
    (tmp_path / "mission.yaml").write_text(f"steps: [{{id: a, {SLEEP}}}]")
    program = (
        "from rustchain_airflow import MissionLoader, DagExecutor\n"
        "DagExecutor.execute_mission(MissionLoader.load_from_file('mission.yaml'))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_waiting_retry_keeps_its_failure_when_fail_fast_strikes(tmp_path: Path) -> None:
    """A step that failed and waits for its next attempt ends Failed, not Skipped: it has run."""
    fail_later = "step_type: command, parameters: {command: 'sleep 0.2; exit 1', shell: true}"
    result = run(
        "config: {max_concurrent_steps: 2}\n"
        f"steps: [{{id: retrying, retry_attempts: 1, retry_delay_ms: 60000, {FAIL}}}, {{id: bad, {fail_later}}}]",
        tmp_path,
    )
    assert outcomes(result) == {"retrying": "Failed", "bad": "Failed"}
    assert result.step_results["retrying"].attempts == 1


def test_inputs_are_checked_before_anything_runs(tmp_path: Path) -> None:
    """Required inputs, types, enums and bounds are refused all at once (semantics §7.4)."""
    plan = plan_of(
        "parameters: [{name: who, required: true}, {name: n, type: integer, minimum: 1}, {name: c, enum: [x, y]}]\n"
        f"steps: [{{id: a, {OK}}}]"
    )
    with pytest.raises(InvalidInputs) as caught:
        DagExecutor.execute_mission(plan, workspace=tmp_path, variables={"n": "0", "c": "z"})
    assert len(caught.value.faults) == 3


def test_variables_reach_references_typed(tmp_path: Path) -> None:
    """A whole reference keeps its type; an input given as text is read as its type (semantics §7.4, §7.5)."""
    result = run(
        "variables: {who: world}\nparameters: [{name: n, type: integer, default: 1}]\n"
        'steps: [{id: a, step_type: noop, parameters: {message: "hi {{ who }}", n: "{{ context.n }}"}}]',
        tmp_path,
        variables={"n": "3"},
    )
    assert result.step_results["a"].output == {"message": "hi world", "parameters": {"n": 3}}


def test_execute_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step runs by itself and sets the variables its outputs name."""
    monkeypatch.chdir(tmp_path)
    context = ExecutionContext(variables={"who": "you"})
    step = MissionStep.model_validate(
        {"id": "a", "step_type": "noop", "parameters": {"message": "hi {{ who }}"}, "outputs": {"said": "message"}}
    )
    result = DagExecutor.execute_step(step, context)
    assert isinstance(result, StepResult)
    assert result.status == "Success"
    assert context.get_variable("said") == "hi you"


@pytest.mark.parametrize("connection", ["sqlite://", "memory"])
def test_execute_step_resolves_connections(connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step by itself knows URLs and the connections of the environment, as a whole mission does."""
    monkeypatch.chdir(tmp_path)
    context = ExecutionContext(environment={"AIRFLOW_CONN_MEMORY": "sqlite://"})
    step = MissionStep.model_validate(
        {"id": "a", "step_type": "sql_query", "parameters": {"connection": connection, "query": "SELECT 1 AS one"}}
    )
    result = DagExecutor.execute_step(step, context)
    assert result.error is None
    assert result.output is not None
    assert result.output["rows"] == [{"one": 1}]


def test_topological_sort() -> None:
    """Dependencies come first, file order decides among equals, a cycle is refused."""
    steps = [
        MissionStep.model_validate({"id": step_id, "step_type": "noop", "depends_on": after})
        for step_id, after in (("c", ["b"]), ("a", []), ("b", ["a"]))
    ]
    assert DagExecutor.topological_sort(steps) == ["a", "b", "c"]
    with pytest.raises(InvalidMission, match="a → b → a"):
        DagExecutor.topological_sort(
            [
                MissionStep.model_validate({"id": "a", "step_type": "noop", "depends_on": ["b"]}),
                MissionStep.model_validate({"id": "b", "step_type": "noop", "depends_on": ["a"]}),
            ]
        )


def test_a_mission_made_in_python_runs(tmp_path: Path) -> None:
    """execute_mission takes the specification's Mission as well as a plan."""
    mission = Mission.model_validate({"name": "m", "steps": [{"id": "a", "step_type": "noop"}]})
    assert DagExecutor.execute_mission(mission, workspace=tmp_path).status == "Completed"


def test_ten_thousand_steps(tmp_path: Path) -> None:
    """A mission of 10,000 steps in layers runs to its end with one result a step, in file order."""
    lines = ["steps:"]
    for index in range(10_000):
        after = f"[s{index - 100}, s{index - 99}]" if index >= 100 else "[]"
        lines.append(f"- {{id: s{index}, step_type: noop, depends_on: {after}}}")
    result = run("\n".join(lines), tmp_path, max_concurrent_steps=8)
    assert list(result.step_results) == [f"s{index}" for index in range(10_000)]
    assert result.status == "Completed"
