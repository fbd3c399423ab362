"""The rules of outcome, carried out by Airflow (semantics §3 to §6)."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_runs import AirflowRuns

from rustchain_airflow.check import plan_mission
from rustchain_airflow.mission import Mission
from rustchain_airflow.plan import Plan

pytestmark = pytest.mark.airflow


def plan(name: str, steps: list[dict[str, Any]], **config: Any) -> Plan:
    """A mission of steps in short form: ``{"id", "run" (a shell line; nothing: noop), "after", ...}``."""
    written = []
    for step in steps:
        given = dict(step)
        line, after = given.pop("run", None), given.pop("after", [])
        kind = {"step_type": "noop"} if line is None else {"step_type": "command"}
        parameters = {} if line is None else {"command": "sh", "args": ["-c", line]}
        written.append({"depends_on": after, "parameters": parameters, **kind, **given})
    config = {"retry_delay_ms": 0, **config}
    return plan_mission(Mission.model_validate({"name": name, "version": "1.0", "config": config, "steps": written}))


OK, FAIL = "true", "echo broken >&2; false"
TOLERATED = {"continue_on_error": True}

SCENARIOS = {
    "s1 a tolerated failure lets its dependent run": (
        [{"id": "a", "run": FAIL, **TOLERATED}, {"id": "b", "after": ["a"]}],
        {"fail_fast": False},
        "Completed",
        {"a": "Failed", "b": "Success"},
    ),
    "s2 among successes a tolerated failure does not count": (
        [{"id": "a", "run": FAIL, **TOLERATED}, {"id": "s"}, {"id": "c", "after": ["a", "s"]}],
        {"fail_fast": False},
        "Completed",
        {"a": "Failed", "s": "Success", "c": "Success"},
    ),
    "s2 one strict failure among dependencies is enough to skip": (
        [
            {"id": "a", "run": FAIL, **TOLERATED},
            {"id": "s", "run": FAIL},
            {"id": "c", "after": ["a", "s"]},
            {"id": "d", "after": ["c"]},
        ],
        {"fail_fast": False},
        "Failed",
        {"a": "Failed", "s": "Failed", "c": "Skipped", "d": "Skipped"},
    ),
    "s2 a skipped strict dependency skips": (
        [
            {"id": "x", "run": FAIL},
            {"id": "s", "after": ["x"]},
            {"id": "a", "run": FAIL, **TOLERATED},
            {"id": "c", "after": ["a", "s"]},
        ],
        {"fail_fast": False},
        "Failed",
        {"x": "Failed", "s": "Skipped", "a": "Failed", "c": "Skipped"},
    ),
    "s2 a tolerated step that was skipped itself skips its dependents": (
        [
            {"id": "x", "run": FAIL},
            {"id": "a", "after": ["x"], **TOLERATED},
            {"id": "b", "after": ["a"]},
            {"id": "c", "after": ["a", "i"]},
            {"id": "i"},
        ],
        {"fail_fast": False},
        "Failed",
        {"x": "Failed", "a": "Skipped", "b": "Skipped", "c": "Skipped", "i": "Success"},
    ),
    "s3 without fail_fast whatever is not downstream of a failure runs": (
        [{"id": "f", "run": FAIL}, {"id": "l1"}, {"id": "l2", "after": ["l1"]}, {"id": "l3", "after": ["l2"]}],
        {"fail_fast": False},
        "Failed",
        {"f": "Failed", "l1": "Success", "l2": "Success", "l3": "Success"},
    ),
    "s3 with fail_fast nothing starts after the first strict failure": (
        [
            {"id": "l1"},
            {"id": "f", "run": FAIL, "after": ["l1"]},
            {"id": "l2", "after": ["l1"]},
            {"id": "l3", "after": ["l2"]},
        ],
        {"max_concurrent_steps": 1},
        "Failed",
        {"l1": "Success", "f": "Failed", "l2": "Skipped", "l3": "Skipped"},
    ),
    "s4 a tolerated failure at the end does not fail the mission": (
        [{"id": "a"}, {"id": "t", "run": FAIL, "after": ["a"], **TOLERATED}],
        {},
        "Completed",
        {"a": "Success", "t": "Failed"},
    ),
    "s5 a retry that succeeds is a success": (
        [
            {"id": "r", "run": "test -e seen || { touch seen; false; }", "retry_attempts": 1},
            {"id": "b", "after": ["r"]},
        ],
        {},
        "Completed",
        {"r": "Success", "b": "Success"},
    ),
    "s6 a timeout is a failure": (
        [{"id": "t", "run": "sleep 60", "timeout_seconds": 1}, {"id": "b", "after": ["t"]}],
        {"fail_fast": False},
        "Failed",
        {"t": "Failed", "b": "Skipped"},
    ),
    "s6 a tolerated timeout lets its dependent run": (
        [{"id": "t", "run": "sleep 60", "timeout_seconds": 1, **TOLERATED}, {"id": "b", "after": ["t"]}],
        {},
        "Completed",
        {"t": "Failed", "b": "Success"},
    ),
    "s7 a tolerated failure does not trigger fail_fast": (
        [{"id": "a", "run": FAIL, **TOLERATED}, {"id": "l1"}, {"id": "l2", "after": ["l1"]}],
        {},
        "Completed",
        {"a": "Failed", "l1": "Success", "l2": "Success"},
    ),
}


@pytest.mark.parametrize("table", [False, True], ids=["statements", "table"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(airflow_runs: AirflowRuns, scenario: str, table: bool) -> None:
    """Every scenario ends as the rules say, in either form of the DAG; the run's state says what the mission's does."""
    steps, config, status, statuses = SCENARIOS[scenario]
    run = airflow_runs.run(plan(scenario, steps, **config), table=table)
    assert run.result is not None
    assert run.result["status"] == status
    assert run.state == ("success" if status == "Completed" else "failed")
    assert {step: run.statuses[step] for step, wanted in statuses.items() if wanted} == {
        step: wanted for step, wanted in statuses.items() if wanted
    }
    assert all((run.states[step] == "failed") == (ended == "Failed") for step, ended in run.statuses.items())
