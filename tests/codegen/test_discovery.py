"""Which files are missions, and what their DAGs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustchain_airflow.codegen.compile import compile_folder
from rustchain_airflow.codegen.discovery import dag_id_of, looks_like_mission, missions_in


@pytest.mark.parametrize(
    ("name", "text", "is_mission"),
    [
        ("a.yaml", "name: x\nsteps: []\n", True),
        ("a.yaml", "steps:\n  - {id: a}\nname: x\n", True),
        ("a.json", '{"steps": []}', True),
        ("a.yml", "\ufeffsteps: []\n", True),
        ("a.yaml", "job: {steps: []}\n", False),
        ("a.yaml", "- steps\n", False),
        ("a.yaml", "steps\n", False),
        ("a.yaml", "key: steps\n", False),
        ("a.yaml", "", False),
        ("a.yaml", "steps: [a: b: c\n  - step_type: noop\n", True),
        ("a.yaml", "name: [\nsteps of a recipe\n", False),
        ("a.yaml", "name: [\n  step_type: noop, steps\n", True),
        ("a.json", '{"steps": [}', False),
        ("a.json", '{"steps": [{"step_type": }', True),
        ("a.json", "[" * 100_000 + '"steps"', False),
    ],
)
def test_what_counts(tmp_path: Path, name: str, text: str, is_mission: bool) -> None:
    """A mapping with steps at its root, or a text that does not parse and mentions step_type."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert looks_like_mission(path) is is_mission


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is no mission."""
    (tmp_path / "a.yaml").write_bytes(b"steps: \xff\xfe\n")
    assert list(missions_in(tmp_path)) == []


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("drafts/", {"drafts/a.yaml", "deep/drafts/b.yaml"}),
        ("/drafts/", {"drafts/a.yaml"}),
        ("*.yml", {"deep/c.yml"}),
        ("deep/*.yml", {"deep/c.yml"}),
        ("deep", {"deep/c.yml", "deep/drafts/b.yaml"}),
        ("**/b.yaml", {"deep/drafts/b.yaml"}),
        ("*\n!keep.yaml", {"drafts/a.yaml", "deep/drafts/b.yaml", "deep/c.yml"}),
        ("# keep.yaml\n\n", set()),
    ],
)
def test_ignore_patterns(tmp_path: Path, pattern: str, ignored: set[str]) -> None:
    """``.airflowignore`` reads like ``.gitignore``."""
    names = {"drafts/a.yaml", "deep/drafts/b.yaml", "deep/c.yml", "keep.yaml"}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("steps: []\n")
    (tmp_path / ".airflowignore").write_text(pattern)
    assert {path.relative_to(tmp_path).as_posix() for path in missions_in(tmp_path)} == names - ignored


def test_hidden_folders_and_links(tmp_path: Path) -> None:
    """Hidden folders are passed by, and a link to a folder is not followed: a circle ends."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.yaml").write_text("steps: []\n")
    (tmp_path / "circle").symlink_to(tmp_path)
    assert list(missions_in(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "dag_id"),
    [
        ("hello.yaml", "hello"),
        ("reports/daily.yml", "reports.daily"),
        ("a.mission.yaml", "a"),
        ("Größe und Farbe.json", "Gr_e_und_Farbe"),
        ("v1.2/x.yaml", "v1.2.x"),
    ],
)
def test_dag_id(name: str, dag_id: str) -> None:
    """The path below the folder without suffix, ``/`` as ``.`` (semantics §10.3)."""
    assert dag_id_of(Path("/missions") / name, Path("/missions")) == dag_id


def test_findings_name_files_below_the_folder(tmp_path: Path) -> None:
    """No path of this machine gets into what is shown."""
    (tmp_path / "bad.yaml").write_text("steps:\n  - {id: a, step_type: noop, depends_on: [b]}\n")
    (tmp_path / "worse.yaml").write_text("steps: [\n  step_type\n")
    for compiled in compile_folder(tmp_path):
        assert compiled.source is None
        assert [each.file for each in compiled.diagnostics if "/" in each.file] == []
