"""Missions dropped into a folder are DAGs soon, and a broken one is in nobody's way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from airflow_site import Site, noop_mission, wait_for

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

SOON = 15.0
"""Seconds within which a mission that is dropped into the bundle's folder is a DAG."""

BROKEN = """\
name: broken
steps:
  - {id: a, step_type: noop}
  - {id: b, step_type: noop, depends_on: [missing]}
"""

COUNT = 50


def test_dropped_mission_is_a_dag_soon(site: Site, record_property: Any) -> None:
    """A YAML dropped into the folder is a DAG within 15 seconds, and runs."""
    site.wait_for_dag("linear_workflow")
    began = time.monotonic()
    (site.bundled / "dropped.yaml").write_text(noop_mission("dropped"))
    site.wait_for_dag("dropped")
    seconds = time.monotonic() - began
    record_property("seconds from drop to DAG", f"{seconds:.1f}")
    print(f"from drop to DAG: {seconds:.1f} s")
    assert seconds < SOON
    state, _ = site.run("dropped").end()
    assert state == "success"


def test_changed_mission_is_a_changed_dag(site: Site) -> None:
    """A mission that is edited is a DAG with the new steps."""
    path = site.bundled / "edited.yaml"
    path.write_text(noop_mission("before"))
    site.wait_for_dag("edited")
    path.write_text(noop_mission("after"))
    wait_for(lambda: site.dag("edited")["dag_display_name"] == "after", "the edited mission")


def test_removed_mission_is_stale(site: Site) -> None:
    """A mission that is deleted is not scheduled any more."""
    path = site.bundled / "removed.yaml"
    path.write_text(noop_mission("removed"))
    site.wait_for_dag("removed")
    path.unlink()
    wait_for(lambda: site.dag("removed")["is_stale"], "the DAG of the deleted mission to be stale")


@pytest.fixture
def crowd(site: Site, request: pytest.FixtureRequest) -> Any:
    """Fifty missions in one folder, one of them broken. They are gone after the test."""
    way: str = request.param
    folder = {"bundle": site.bundled, "loader": site.loaded}[way] / f"crowd_{way}"
    folder.mkdir()
    dag_ids = [f"crowd_{way}.m{number:02}" for number in range(COUNT)]
    for dag_id in dag_ids:
        _, name = dag_id.split(".")
        (folder / f"{name}.yaml").write_text(BROKEN if name == "m17" else noop_mission(dag_id))
    yield dag_ids
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def run_some(site: Site, dag_ids: list[str]) -> None:
    runs = [site.run(dag_id) for dag_id in dag_ids]
    assert [run.end()[0] for run in runs] == ["success"] * len(runs)


@pytest.mark.parametrize("crowd", ["bundle"], indirect=True)
def test_broken_mission_among_fifty_in_the_bundle(site: Site, crowd: list[str]) -> None:
    """A broken mission is its own import error with line and column; the other 49 are there and run."""
    good = [dag_id for dag_id in crowd if not dag_id.endswith("m17")]
    wait_for(lambda: set(good) <= set(site.dags()), "49 DAGs")
    (file, trace) = wait_for(
        lambda: next((each for each in site.import_errors().items() if "m17" in each[0]), None), "the import error"
    )
    assert Path(file).name == "m17.yaml.py"
    assert 'crowd_bundle/m17.yaml:4:43: error RC201 step "b" depends on "missing"' in trace
    assert list(site.import_errors()) == [file]
    run_some(site, [good[0], good[16], good[-1]])
    assert set(good) <= set(site.dags())


@pytest.mark.parametrize("crowd", ["loader"], indirect=True)
def test_broken_mission_among_fifty_with_the_loader(site: Site, crowd: list[str]) -> None:
    """All fifty are DAGs that can be scheduled: the broken one says what is wrong, and fails with it when it runs."""
    broken = "crowd_loader.m17"
    wait_for(lambda: set(crowd) <= set(site.dags()), "50 DAGs")
    details = site.dag(broken)
    assert "mission-error" in [tag["name"] for tag in details["tags"]]
    assert 'crowd_loader/m17.yaml:4:43: error RC201 step "b" depends on "missing"' in details["doc_md"]
    assert details["timetable_summary"] is None
    assert not [file for file in site.import_errors() if "missions.py" in file]
    run_some(site, [crowd[0], crowd[16], crowd[-1]])
    failing = site.run(broken)
    assert site.airflow.wait(failing.dag_id, failing.run_id)[0] == "failed"
    assert set(crowd) <= set(site.dags())
