"""Every mission of docs/semantics ends as its page says, in both engines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_runs import AirflowRuns, airflow_home, airflow_runs  # noqa: F401  (fixtures)
from pages import Case, matches, mismatches, read

from rustchain_airflow.check import Checked, check_text
from rustchain_airflow.local.executor import DagExecutor
from rustchain_airflow.local.reporter import Silent
from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.steps import catalog

ROOT = Path(__file__).resolve().parents[2]
CASES = list(read(ROOT / "docs" / "semantics"))
RUN_CASES = [case for case in CASES if case.steps]
FINDING_CASES = [case for case in CASES if case.findings is not None]

NOT_SHOWN = {
    "2.3": "needs two steps in flight at once: tests/local and the system suite",
    "6.4": "exit codes are the command's: tests/cli",
    "7.8": "llm, agent and chain are not available yet",
    "10.3": "dag_ids are made of file names: tests/airflow",
}
"""Rules of semantics §1-7 and §10 that no page can show, and what shows them instead."""


def check(case: Case) -> Checked:
    return check_text(
        case.text,
        name=case.given.get("file", f"mission.{case.format}"),
        format=case.format,
        strict=case.given.get("strict", False),
        variables=case.given.get("variables", ()),
    )


class Starts(Silent):
    """The order in which steps start."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        if attempt == 1:
            self.ids.append(step.id)


def run_local(case: Case, workspace: Path, environment: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    starts = Starts()
    result = DagExecutor.execute_mission(
        check(case).require_plan(),
        workspace=workspace,
        variables=case.given.get("variables"),
        environment=environment,
        reporter=starts,
    )
    return result.to_json(), starts.ids


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """A MissionResult without what differs from run to run."""
    return {
        "status": result["status"],
        "mission": result["mission"],
        "steps": [
            {
                "step_id": step["step_id"],
                "status": step["status"],
                "output": _without_times(step["output"]),
                "error": step["error"],
                "attempts": step["attempts"],
            }
            for step in result["step_results"].values()
        ],
    }


def _without_times(output: dict[str, Any] | None) -> dict[str, Any] | None:
    return output and {key: value for key, value in output.items() if key not in ("duration_ms", "modified")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    import os

    return dict(os.environ)


@pytest.mark.parametrize("case", FINDING_CASES, ids=str)
def test_findings(case: Case) -> None:
    """Loading reports exactly the findings of the table, by code, line and message."""
    found = [
        {"finding": each.code, "line": str(each.span.line) if each.span else "-", "message": each.message}
        for each in check(case).diagnostics
    ]
    assert case.findings is not None
    assert [each["finding"] for each in found] == [row["finding"] for row in case.findings], found
    for row, each in zip(case.findings, found, strict=True):
        for column, expected in row.items():
            assert not expected or matches(expected, each[column]), (column, each[column])


@pytest.mark.parametrize("case", RUN_CASES, ids=str)
def test_local(case: Case, tmp_path: Path, environment: dict[str, str]) -> None:
    """The local executor ends every mission as its page says."""
    environment |= case.given.get("environment", {})
    result, starts = run_local(case, tmp_path, environment)
    assert mismatches(case, result) == []
    if case.starts is not None:
        assert starts == case.starts


@pytest.mark.airflow
@pytest.mark.xdist_group("airflow")
@pytest.mark.parametrize("case", RUN_CASES, ids=str)
def test_airflow(case: Case, tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest) -> None:
    """A compiled DAG ends every mission as its page says, and with the local executor's own result."""
    runs: AirflowRuns = request.getfixturevalue("airflow_runs")
    given = case.given.get("environment", {})
    run = runs.run(check(case).require_plan(), conf=case.given.get("variables"), env=given)
    assert run.result is not None, run.states
    assert mismatches(case, run.result) == []
    assert run.state == ("success" if run.result["status"] == "Completed" else "failed")
    local, _ = run_local(case, tmp_path, environment | given)
    assert comparable(run.result) == comparable(local)


def test_every_rule_has_its_section() -> None:
    """Each numbered rule of semantics §1-7 and §10 has a section with a case, or a reason why it cannot."""
    rules = {1: 6, 2: 5, 3: 6, 4: 3, 5: 5, 6: 4, 7: 9, 10: 6}
    numbered = {f"{chapter}.{rule}" for chapter, last in rules.items() for rule in range(1, last + 1)}
    shown = {case.rule for case in CASES if case.steps or case.findings is not None}
    assert numbered - shown - set(NOT_SHOWN) == set()
    assert set(NOT_SHOWN) <= numbered


def test_pages_use_available_step_types() -> None:
    """A page shows rules, not missing step types."""
    for case in RUN_CASES:
        plan = check(case).plan
        assert plan is not None, (case, check(case).diagnostics)
        assert all(catalog.available(step.step_type) for step in plan.steps), case
