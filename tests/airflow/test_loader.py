"""The loader file: missions beside it become DAGs, and it never raises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

GOOD = "name: Good\nsteps:\n  - {id: a, step_type: noop}\n"
BROKEN = "name: Broken\nsteps:\n  - {id: a, step_type: noop, depends_on: [`]}\n"
MISSPELT = "name: Broken\nsteps:\n  - {id: a, step_type: noop, depends_on: [missing]}\n"


def load(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The DAGs and the import errors that Airflow gets from a folder with the loader file in it."""
    from airflow.dag_processing.dagbag import DagBag

    loader = Path(__file__).parents[2] / "dags" / "missions.py"
    (folder / "missions.py").write_text(loader.read_text())
    bag = DagBag(dag_folder=str(folder), load_op_links=False)
    return dict(bag.dags), dict(bag.import_errors)


@pytest.mark.parametrize("text", [BROKEN, MISSPELT], ids=["not YAML", "not valid"])
def test_broken_mission_is_a_placeholder(airflow_home: Path, tmp_path: Path, text: str) -> None:
    """A broken mission is a DAG of its own, tagged and documented; the good one beside it lives."""
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(text)
    dags, errors = load(tmp_path)
    assert errors == {}
    assert set(dags) == {"good", "bad"}
    assert "mission-error" in dags["bad"].tags
    assert "mission-error" not in dags["good"].tags
    assert "bad.yaml:3:" in dags["bad"].doc_md
    assert dags["bad"].timetable.can_be_scheduled is False


def test_what_airflow_refuses_is_a_placeholder(airflow_home: Path, tmp_path: Path) -> None:
    """A DAG that only Airflow itself refuses hides nobody either, and leaves nothing half built."""
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD + "airflow: {schedule: '99 * * * *'}\n")
    dags, errors = load(tmp_path)
    assert errors == {}
    assert set(dags) == {"good", "bad"}
    assert "mission-error" in dags["bad"].tags


def test_same_dag_id(airflow_home: Path, tmp_path: Path) -> None:
    """Two missions with one dag_id are one placeholder that names both files."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "a.yml").write_text(GOOD)
    dags, errors = load(tmp_path)
    assert errors == {}
    assert "a.yaml, a.yml" in dags["a"].doc_md


def test_worker_loads_only_its_mission(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that runs one task, only that task's mission is loaded, also one that names its DAG itself."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD + "airflow: {dag_id: other}\n")
    for dag_id in ("a", "other"):
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
        assert set(load(tmp_path)[0]) == {dag_id}


def test_placeholder_text_cannot_leave_its_fence(airflow_home: Path) -> None:
    """Backticks of a mission cannot end the block that shows its findings."""
    from rustchain_airflow.provider.broken import placeholder

    doc = placeholder("x", "x.yaml", "a ```` b <script>").doc_md
    assert doc.count("`````") == 2
