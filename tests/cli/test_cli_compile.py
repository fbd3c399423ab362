"""``compile`` writes whole files, only those that changed, and none that is not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_program import Call

OK = "steps: [{id: a, step_type: noop}]\n"
BROKEN = "steps: [{id: a, step_type: nop}]\n"
LONG_AGO = 1_000_000_000_000_000_000
"""Nanoseconds: a time of change that no test could give a file by writing it."""


@pytest.fixture
def missions(here: Path) -> Path:
    """A folder of three missions, one with dots in its name, one in a folder below."""
    folder = here / "missions"
    (folder / "team").mkdir(parents=True)
    for name in ("plain.yaml", "v1.2.yaml", "team/daily.yml"):
        (folder / name).write_text(OK)
    return folder


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}


def test_one_mission_is_printed(call: Call, missions: Path, here: Path) -> None:
    """One mission without -o is its DAG on standard output, and no file."""
    result = call("compile", "missions/plain.yaml")
    assert result.exit_code == 0
    compile(result.stdout, "plain.py", "exec")
    assert 'dag_id="plain"' in result.stdout
    assert result.stderr == ""
    assert [path.name for path in here.iterdir()] == ["missions"]


def test_standard_input_is_compiled(call: Call) -> None:
    """A mission on standard input, YAML or JSON, is a DAG called mission."""
    for text in (OK, '{"steps": [{"id": "a", "step_type": "noop"}]}'):
        assert 'dag_id="mission"' in call("compile", "-", stdin=text).stdout


def test_printed_and_written_are_equal(call: Call, missions: Path, here: Path) -> None:
    """What is printed is byte for byte what is written."""
    printed = call("compile", "missions/plain.yaml").stdout
    assert call("compile", "missions/plain.yaml", "-o", "dags").exit_code == 0
    assert (here / "dags" / "plain.py").read_text(encoding="utf-8") == printed


def test_a_folder(call: Call, missions: Path, here: Path) -> None:
    """Each mission of a folder is a file named by its path, with its dots, and readable by whom the umask says."""
    before = os.umask(0o027)
    try:
        result = call("compile", "missions", "-o", "dags")
    finally:
        os.umask(before)
    assert result.exit_code == 0
    assert sorted(result.stdout.splitlines()) == [
        "written: dags/plain.py",
        "written: dags/team.daily.py",
        "written: dags/v1.2.py",
    ]
    assert list(written(here / "dags")) == ["plain.py", "team.daily.py", "v1.2.py"]
    assert b'dag_id="team.daily"' in written(here / "dags")["team.daily.py"]
    assert {path.stat().st_mode & 0o777 for path in (here / "dags").iterdir()} == {0o640}


def test_only_changes_are_written(call: Call, missions: Path, here: Path) -> None:
    """A file that would be the same keeps its time of change; a mission that changed is written again."""
    call("compile", "missions", "-o", "dags")
    for path in (here / "dags").iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    (missions / "plain.yaml").write_text(OK.replace("id: a", "id: b"))
    result = call("compile", "missions", "-o", "dags")
    assert sorted(result.stdout.splitlines()) == [
        "unchanged: dags/team.daily.py",
        "unchanged: dags/v1.2.py",
        "written: dags/plain.py",
    ]
    kept = {path.name: path.stat().st_mtime_ns == LONG_AGO for path in (here / "dags").iterdir()}
    assert kept == {"plain.py": False, "team.daily.py": True, "v1.2.py": True}


@pytest.mark.parametrize("content", [b"x = 1\n", b"", b"\xff\xfe"], ids=["a program", "empty", "binary"])
def test_foreign_files_stay(call: Call, missions: Path, here: Path, content: bytes) -> None:
    """A file the compiler did not write is refused by name, and no other file is written either."""
    (here / "dags").mkdir()
    (here / "dags" / "v1.2.py").write_bytes(content)
    result = call("compile", "missions", "-o", "dags")
    assert result.exit_code == 2
    assert "dags/v1.2.py was not written by this compiler" in result.stderr
    assert written(here / "dags") == {"v1.2.py": content}


def test_neighbours_stay(call: Call, missions: Path, here: Path) -> None:
    """Nothing is removed: neither a foreign file nor the DAG of a mission that is gone."""
    call("compile", "missions", "-o", "dags")
    (here / "dags" / "own.py").write_text("x = 1\n")
    (missions / "plain.yaml").unlink()
    assert call("compile", "missions", "-o", "dags").exit_code == 0
    assert list(written(here / "dags")) == ["own.py", "plain.py", "team.daily.py", "v1.2.py"]


def test_one_broken_mission(call: Call, missions: Path, here: Path) -> None:
    """When one mission is broken nothing is written, and only the broken one is spoken of."""
    (missions / "broken.yaml").write_text(BROKEN)
    result = call("compile", "missions", "-o", "dags")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("broken.yaml:1:28: error RC109 ")
    assert "plain" not in result.stderr
    assert not (here / "dags").exists()


def test_check(call: Call, missions: Path, here: Path) -> None:
    """--check writes nothing: it names what differs and what is missing, and is silent about what is right."""
    call("compile", "missions", "-o", "dags")
    fresh = call("compile", "missions", "-o", "dags", "--check")
    assert (fresh.exit_code, fresh.stdout) == (0, "3 DAG files up to date\n")
    with (here / "dags" / "plain.py").open("a") as file:
        file.write("# edited\n")
    (here / "dags" / "v1.2.py").unlink()
    before = written(here / "dags")
    stale = call("compile", "missions", "-o", "dags", "--check")
    assert stale.exit_code == 1
    assert stale.stdout.splitlines() == ["differs: dags/plain.py", "missing: dags/v1.2.py"]
    assert written(here / "dags") == before


def test_check_makes_no_folder(call: Call, missions: Path, here: Path) -> None:
    """--check against a folder that is not there finds all files missing, and makes none."""
    result = call("compile", "missions", "-o", "dags", "--check")
    assert result.exit_code == 1
    assert result.stdout.count("missing: ") == 3
    assert not (here / "dags").exists()


def test_same_dag_id(call: Call, missions: Path, here: Path) -> None:
    """Two missions that would be one DAG are both named, and nothing is written (semantics §10.3)."""
    for name in ("plain.yaml", "team/daily.yml"):
        (missions / name).write_text(OK + "airflow: {dag_id: nightly}\n")
    result = call("compile", "missions", "-o", "dags")
    assert result.exit_code == 2
    said = 'error RC603 several missions have the dag_id "nightly": plain.yaml, team/daily.yml'
    assert f"plain.yaml: {said}" in result.stderr
    assert f"team/daily.yml: {said}" in result.stderr
    assert not (here / "dags").exists()


def test_same_dag_id_of_two_folders(call: Call, here: Path) -> None:
    """Files of one name in two folders are two missions of one dag_id; one file given twice is one mission."""
    for folder in ("one", "two"):
        (here / folder).mkdir()
        (here / folder / "m.yaml").write_text(OK)
    clash = call("compile", "one", "two", "-o", "dags")
    assert clash.exit_code == 2
    assert 'the dag_id "m": one/m.yaml, two/m.yaml' in clash.stderr
    once = call("compile", "one/m.yaml", "one", str(here / "one" / ".." / "one" / "m.yaml"), "-o", "dags")
    assert (once.exit_code, once.stdout) == (0, "written: dags/m.py\n")


def test_a_folder_in_the_way(call: Call, missions: Path, here: Path) -> None:
    """A folder where a DAG file should be is named, and no other file is written."""
    (here / "dags" / "plain.py").mkdir(parents=True)
    result = call("compile", "missions", "-o", "dags")
    assert result.exit_code == 2
    assert "cannot read dags/plain.py: Is a directory" in result.stderr
    assert [path.name for path in (here / "dags").iterdir()] == ["plain.py"]
