"""Laws of the documents: what README and CONTRIBUTING tell a stranger to type works."""

from __future__ import annotations

import configparser
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rustchain_airflow.check import check_file
from rustchain_airflow.codegen.compile import compile_mission

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def typed(document: Path) -> list[str]:
    """The commands of a document's console blocks, without what stands after them as a comment."""
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines if line.startswith("$ ")]


MISSION, FOR_AIRFLOW = blocks(README, "yaml")
COMMANDS = [command for command in typed(Path("README.md")) if command.startswith("rustchain-airflow")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: the README's mission in it, and in a folder of missions."""
    (tmp_path / "mission.yaml").write_text(MISSION, encoding="utf-8")
    (tmp_path / "missions").mkdir()
    (tmp_path / "missions" / "robust.yaml").write_text(MISSION, encoding="utf-8")
    return tmp_path


def test_mission(folder: Path) -> None:
    """The README's mission has no finding but notes, and becomes the README's DAG."""
    checked = check_file(folder / "mission.yaml")
    assert checked.ok
    assert {finding.severity for finding in checked.diagnostics} <= {"note"}
    assert compile_mission(folder / "mission.yaml") in blocks(README, "python")


def test_mission_with_airflow_keys(folder: Path) -> None:
    """What the README says to write for Airflow compiles."""
    mission = folder / "mission.yaml"
    mission.write_text(MISSION + FOR_AIRFLOW, encoding="utf-8")
    assert 'schedule="0 6 * * *"' in compile_mission(mission)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, folder: Path) -> None:
    """Every command of the README ends well where a reader would type it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_python(folder: Path) -> None:
    """The README's Python runs its mission: tolerated failure, Completed, and the error of the step that failed."""
    (code,) = (block for block in blocks(README, "python") if "airflow.sdk" not in block)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.stdout.strip().startswith("Completed"), ran.stderr
    assert "exit code 1" in ran.stdout
    assert (folder / "out" / "fallback.txt").read_text() == "exit code was 1"


@pytest.mark.airflow
def test_bundle_configuration() -> None:
    """The README's bundle line is configuration that Airflow can read, of a class that is there."""
    (text,) = blocks(README, "ini")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(text)
    (bundle,) = json.loads(parsed["dag_processor"]["dag_bundle_config_list"])
    module, _, name = bundle["classpath"].rpartition(".")
    made = getattr(importlib.import_module(module), name)(name=bundle["name"], **bundle["kwargs"])
    assert made.name == "missions"


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links(document: Path) -> None:
    """Every link inside the repository leads to something."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [
        target
        for target in targets
        if target.partition("#")[0] and not (ROOT / document.parent / target.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", ".ci/run"])
def test_targets(document: str) -> None:
    """Every `make` that a document or CI types is a target, and the targets that CI runs are the README's."""
    text = (ROOT / document).read_text(encoding="utf-8")
    named = {
        target
        for line in re.findall(r"(?:^\$? ?|`)make ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
        for target in line.split()
    }
    assert named
    assert named - set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) == set()


def test_ci_runs_lint_and_tests() -> None:
    """What CI runs is a program, and runs what the documents tell people to run."""
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert re.findall(r"^make (\w+)$", run.read_text(encoding="utf-8"), re.MULTILINE) == ["lint", "test"]


@pytest.mark.parametrize("command", [command for command in typed(Path("README.md")) if command.startswith("pip ")])
def test_extras(command: str) -> None:
    """What the README says to install is this package, with extras that it has."""
    match = re.fullmatch(r'pip install "?([\w-]+)(?:\[([\w,]+)\])?"?', command)
    assert match is not None
    assert match[1] == PROJECT["project"]["name"]
    assert set(filter(None, (match[2] or "").split(","))) <= set(PROJECT["project"]["optional-dependencies"])


def test_constraints() -> None:
    """The pins are plain: a name and a version a line, no address of a registry or a machine."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert len(pins) > 100
