"""The two forms of a compiled DAG: statements, and a table for large missions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow_runs import load_dag

from rustchain_airflow.check import check_file
from rustchain_airflow.codegen.airflow_dag import generate
from rustchain_airflow.plan import Edge, Plan, PlannedStep
from rustchain_airflow.step_type import StepType

pytestmark = pytest.mark.airflow

MISSIONS = sorted((Path(__file__).parents[1] / "golden").glob("*.yaml"), key=lambda path: path.name)


def serialised(source: str, folder: Path) -> str:
    from airflow.serialization.serialized_objects import DagSerialization

    path = folder / "m.py"
    path.write_text(source, encoding="utf-8")
    return json.dumps(DagSerialization.to_dict(load_dag(path)), sort_keys=True)


def large(size: int) -> Plan:
    """A mission in layers of ten: each step waits for two of the layer before."""
    steps = tuple(
        PlannedStep(
            id=f"s{n}",
            name=f"s{n}",
            step_type=StepType.NOOP,
            position=n,
            parameters={},
            edges=tuple(Edge(f"s{m}") for m in (n - 10, n - 11) if m >= 0),
        )
        for n in range(size)
    )
    return Plan("large", "1.0", None, steps)


@pytest.mark.parametrize("path", MISSIONS, ids=lambda path: path.stem)
def test_both_forms_are_one_dag(airflow_home: Path, tmp_path: Path, path: Path) -> None:
    """Airflow stores the same DAG for either form of the same mission."""
    plan = check_file(path).require_plan()
    statements, table = (generate(plan, dag_id="m", version="1", table=table) for table in (False, True))
    assert serialised(statements, tmp_path) == serialised(table, tmp_path)


@pytest.mark.parametrize("path", MISSIONS, ids=lambda path: path.stem)
def test_serialisation_is_stable(airflow_home: Path, tmp_path: Path, path: Path) -> None:
    """The same mission is the same DAG whenever it is parsed: no new version without a change."""
    source = generate(check_file(path).require_plan(), dag_id="m", version="1")
    assert len({serialised(source, tmp_path) for _ in range(3)}) == 1


def test_large_missions_are_tables() -> None:
    """Up to 300 steps a mission is written as statements, beyond as a table."""
    assert "build_mission" not in generate(large(300), version="1")
    assert "build_mission" in generate(large(301), version="1")


def test_a_worker_builds_one_task(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that runs one task, a table builds that one, and the task still knows the whole mission."""
    path = tmp_path / "large.py"
    path.write_text(generate(large(400), dag_id="large", version="1"))
    whole = load_dag(path)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "large")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "s123")
    one = load_dag(path)
    assert list(one.task_dict) == ["s123"]

    def edges(dag: Any) -> list[Any]:
        return [(step.id, step.edges, step.continue_on_error) for step in dag.get_task("s123").planned_steps()]

    assert edges(one) == edges(whole)
    assert {step_id: found for step_id, found, _ in edges(one)}["s123"] == (Edge("s112"), Edge("s113"))


def test_the_first_in_the_file_goes_first(airflow_home: Path, tmp_path: Path) -> None:
    """Ready steps queue in file order, above the mission's priority, but for one with a weight of its own (§2.4)."""
    steps = tuple(replace(step, airflow={"priority_weight": 99} if step.id == "s2" else {}) for step in large(4).steps)
    plan = Plan("m", "1.0", None, steps, airflow={"priority": 5})
    for table in (False, True):
        path = tmp_path / "m.py"
        path.write_text(generate(plan, dag_id="m", version="1", table=table))
        dag = load_dag(path)
        assert [dag.get_task(f"s{n}").priority_weight for n in range(4)] == [8, 7, 99, 5]
        assert {dag.get_task(f"s{n}").weight_rule for n in range(4)} == {"absolute"}
