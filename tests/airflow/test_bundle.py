"""The bundle: missions of a folder become DAG files that Airflow finds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

GOOD = "name: {name}\nsteps:\n  - {{id: a, step_type: noop}}\n"
BROKEN = "name: broken\nsteps:\n  - {id: a, step_type: noop}\n  - {id: b, step_type: noop, depends_on: [missing]}\n"


@pytest.fixture
def bundle(airflow_home: Path, tmp_path: Path, request: pytest.FixtureRequest):
    from rustchain_airflow.provider.bundle import MissionDagBundle

    source = tmp_path / "missions"
    source.mkdir()
    return MissionDagBundle(name=f"bundle-{abs(hash(request.node.nodeid))}", path=source)


def compiled(bundle) -> list[str]:
    return sorted(path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*.py"))


def import_errors(bundle) -> dict[str, str]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(bundle.path), load_op_links=False)
    return {Path(path).name: error for path, error in bag.import_errors.items()} | dict.fromkeys(bag.dags, "")


def test_missions_become_dags(bundle) -> None:
    """Every mission file below the folder is one DAG, named by its path (semantics §10.3)."""
    (bundle.source / "reports").mkdir()
    (bundle.source / "hello.yaml").write_text(GOOD.format(name="Hello"))
    (bundle.source / "reports" / "daily.yml").write_text(GOOD.format(name="Daily"))
    (bundle.source / "notes.yaml").write_text("shopping: [milk]\n")
    bundle.initialize()
    assert compiled(bundle) == ["hello.yaml.py", "reports/daily.yml.py"]
    assert import_errors(bundle) == {"hello": "", "reports.daily": ""}


def test_unchanged_files_keep_their_time(bundle) -> None:
    """A refresh rewrites only what changed, and removes what has no mission any more."""
    for name in ("one", "two", "three"):
        (bundle.source / f"{name}.yaml").write_text(GOOD.format(name=name))
    bundle.initialize()
    before = {name: (bundle.path / f"{name}.yaml.py").stat().st_mtime_ns for name in ("one", "two")}
    (bundle.source / "two.yaml").write_text(GOOD.format(name="another"))
    (bundle.source / "three.yaml").unlink()
    bundle.refresh()
    assert compiled(bundle) == ["one.yaml.py", "two.yaml.py"]
    assert (bundle.path / "one.yaml.py").stat().st_mtime_ns == before["one"]
    assert (bundle.path / "two.yaml.py").stat().st_mtime_ns > before["two"]


def test_broken_mission_is_an_import_error(bundle) -> None:
    """A mission that is not valid shows its findings with line and column as its own import error; others live on."""
    (bundle.source / "good.yaml").write_text(GOOD.format(name="good"))
    (bundle.source / "bad.yaml").write_text(BROKEN)
    bundle.initialize()
    found = import_errors(bundle)
    assert found["good"] == ""
    assert "bad.yaml:4:" in found["bad.yaml.py"]
    assert '"missing"' in found["bad.yaml.py"]


def test_mended_mission_lives(bundle) -> None:
    """When a broken mission is mended its import error goes."""
    (bundle.source / "bad.yaml").write_text(BROKEN)
    bundle.initialize()
    (bundle.source / "bad.yaml").write_text(GOOD.format(name="mended"))
    bundle.refresh()
    assert import_errors(bundle) == {"bad": ""}


def test_same_dag_id(bundle) -> None:
    """Two missions with one dag_id: an error naming both files, no others hidden; gone when one of them is."""
    (bundle.source / "a.yaml").write_text(GOOD.format(name="a"))
    (bundle.source / "b.yaml").write_text(GOOD.format(name="b") + "airflow: {dag_id: a}\n")
    (bundle.source / "c.yaml").write_text(GOOD.format(name="c"))
    bundle.initialize()
    found = import_errors(bundle)
    assert found["c"] == ""
    assert all("a.yaml, b.yaml" in found[name] for name in ("a.yaml.py", "b.yaml.py"))
    (bundle.source / "b.yaml").unlink()
    bundle.refresh()
    assert import_errors(bundle) == {"a": "", "c": ""}


def test_ignore_file(bundle) -> None:
    """``.airflowignore`` is honoured."""
    (bundle.source / "drafts").mkdir()
    (bundle.source / ".airflowignore").write_text("# not yet\ndrafts/\n*.wip.yaml\n")
    for name in ("drafts/x.yaml", "y.wip.yaml", "z.yaml"):
        (bundle.source / name).write_text(GOOD.format(name="m"))
    bundle.initialize()
    assert compiled(bundle) == ["z.yaml.py"]


def test_missing_folder_keeps_what_was_there(bundle) -> None:
    """A folder that is gone for a moment (a mount) does not take its DAGs away."""
    (bundle.source / "a.yaml").write_text(GOOD.format(name="a"))
    bundle.initialize()
    bundle.source.rename(bundle.source.with_name("away"))
    bundle.refresh()
    assert compiled(bundle) == ["a.yaml.py"]


def test_dag_processor_finds_the_files(bundle) -> None:
    """Airflow's own file listing takes every compiled file, broken ones too, and nothing else of the bundle."""
    from airflow.utils.file import list_py_file_paths

    (bundle.source / "good.yaml").write_text(GOOD.format(name="good"))
    (bundle.source / "bad.yaml").write_text(BROKEN)
    bundle.initialize()
    found = sorted(Path(path).name for path in list_py_file_paths(str(bundle.path), safe_mode=True))
    assert found == ["bad.yaml.py", "good.yaml.py"]
