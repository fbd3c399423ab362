"""Random graphs with random outcomes, tolerances, retries and limits end as the pure semantics say, in both engines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_runs import AirflowRuns, airflow_home, airflow_runs  # noqa: F401  (fixtures)

from rustchain_airflow import semantics
from rustchain_airflow.check import check_text
from rustchain_airflow.local.executor import DagExecutor
from rustchain_airflow.plan import Plan
from rustchain_airflow.runtime.results import MissionResult
from rustchain_airflow.semantics import MissionStatus, StepStatus

FAILS = {"step_type": "read_file", "parameters": {"path": "there/is/no/such/file"}}
REFUSED = {"step_type": "read_file", "parameters": {"path": "{{ mission.version }}/../../out"}}
SUCCEEDS = {"step_type": "noop"}


@st.composite
def missions(draw: st.DrawFn, most: int = 12) -> dict[str, Any]:
    """A mission whose steps depend on earlier ones of a hidden order, listed in any order."""
    count = draw(st.integers(1, most))
    order = draw(st.permutations(range(count)))
    steps: list[dict[str, Any]] = []
    for index in range(count):
        before = [other for other in range(count) if order[other] < order[index]]
        after = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        step: dict[str, Any] = {
            "id": f"s{index}",
            "depends_on": [f"s{other}" for other in after],
            **draw(st.sampled_from([SUCCEEDS, SUCCEEDS, FAILS, REFUSED])),
        }
        if draw(st.booleans()):
            step["continue_on_error"] = draw(st.booleans())
        if draw(st.booleans()):
            step["retry_attempts"] = draw(st.integers(0, 2))
            step["retry_delay_ms"] = 0
        steps.append(step)
    config: dict[str, Any] = {"fail_fast": draw(st.booleans()), "retry_delay_ms": 0}
    if draw(st.booleans()):
        config["max_concurrent_steps"] = draw(st.integers(1, 4))
    return {"name": "random", "config": config, "steps": steps}


def plan_of(mission: dict[str, Any]) -> Plan:
    return check_text(json.dumps(mission), format="json").require_plan()


def expected(plan: Plan) -> dict[str, StepStatus]:
    """What the table of semantics.py makes of a mission in which nothing is stopped early."""
    outcomes: dict[str, StepStatus] = {}
    pending = list(plan.steps)
    while pending:
        for step in pending:
            if all(edge.upstream in outcomes for edge in step.edges):
                if semantics.skip_reason(step.edges, outcomes):
                    outcomes[step.id] = StepStatus.SKIPPED
                else:
                    outcomes[step.id] = StepStatus.SUCCESS if step.step_type == "noop" else StepStatus.FAILED
                pending.remove(step)
                break
    return outcomes


def in_file_order_until_failure(plan: Plan) -> dict[str, StepStatus]:
    """The same with fail_fast and one slot, where file order decides what has run before the first strict failure."""
    outcomes: dict[str, StepStatus] = {}
    while len(outcomes) < len(plan.steps):
        step = next(
            step
            for step in plan.steps
            if step.id not in outcomes and all(edge.upstream in outcomes for edge in step.edges)
        )
        if semantics.skip_reason(step.edges, outcomes):
            outcomes[step.id] = StepStatus.SKIPPED
            continue
        outcomes[step.id] = StepStatus.SUCCESS if step.step_type == "noop" else StepStatus.FAILED
        if semantics.is_strict_failure(step, outcomes[step.id]):
            return {each.id: outcomes.get(each.id, StepStatus.SKIPPED) for each in plan.steps}
    return outcomes


def hold_to_semantics(plan: Plan, statuses: dict[str, StepStatus], status: str) -> None:
    """What is true of every run, in whatever order its steps came."""
    assert list(statuses) == [step.id for step in plan.steps]
    undisturbed = expected(plan)
    failed = [step for step in plan.steps if semantics.is_strict_failure(step, statuses[step.id])]
    for step in plan.steps:
        if statuses[step.id] is StepStatus.SKIPPED:
            stopped = plan.fail_fast and bool(failed)
            assert stopped or semantics.skip_reason(step.edges, statuses)
        else:
            assert statuses[step.id] is undisturbed[step.id]
            assert semantics.skip_reason(step.edges, statuses) is None
    if not (plan.fail_fast and failed):
        assert statuses == undisturbed
    assert status == (MissionStatus.FAILED if failed else MissionStatus.COMPLETED)


def run_local(plan: Plan, workspace: Path) -> MissionResult:
    return DagExecutor.execute_mission(plan, workspace=workspace)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mission=missions())
def test_local(mission: dict[str, Any], tmp_path: Path) -> None:
    """Local results are those of the pure semantics; attempts are 1 + retries for a failure that a retry may help."""
    plan = plan_of(mission)
    result = run_local(plan, tmp_path)
    statuses = {step_id: step.status for step_id, step in result.step_results.items()}
    hold_to_semantics(plan, statuses, result.status)
    if plan.fail_fast and plan.max_concurrent_steps == 1 and all(step.attempts == 1 for step in plan.steps):
        assert statuses == in_file_order_until_failure(plan)
    for step in plan.steps:
        ended = result.step_results[step.id]
        assert (ended.output is None) or ended.status is StepStatus.SUCCESS
        assert (ended.error is None) == (ended.status is StepStatus.SUCCESS)
        if ended.status is StepStatus.SKIPPED:
            assert (ended.attempts, ended.duration_ms) == (0, 0)
        elif ended.error and "leaves the workspace" in ended.error:
            assert ended.attempts == 1
        elif ended.status is StepStatus.FAILED and not plan.fail_fast:
            assert ended.attempts == step.attempts


@pytest.mark.airflow
@pytest.mark.xdist_group("airflow")
@seed(20261122)
@settings(max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mission=missions(most=7))
def test_airflow(mission: dict[str, Any], tmp_path: Path, airflow_runs: AirflowRuns) -> None:  # noqa: F811
    """A compiled DAG holds to the same semantics, and without fail_fast ends exactly as the local executor does."""
    plan = plan_of(mission)
    run = airflow_runs.run(plan)
    assert run.result is not None, run.states
    statuses = {step_id: StepStatus(status) for step_id, status in run.statuses.items()}
    hold_to_semantics(plan, statuses, run.result["status"])
    assert run.state == ("success" if run.result["status"] == "Completed" else "failed")
    if not plan.fail_fast:
        local = run_local(plan, tmp_path)
        for step_id, step in local.step_results.items():
            there = run.result["step_results"][step_id]
            assert (there["status"], there["error"], there["attempts"]) == (step.status, step.error, step.attempts)
