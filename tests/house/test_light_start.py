"""Laws of starting: what `check` and `run-local` must never import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"airflow", "sqlalchemy", "openai", "paramiko", "redis", "httpx2", "polars", "lxml", "psutil", "alembic"}
LIBRARIES = {"pydantic", "pydantic_core", "yaml", "click", "rich", "airflow"}

MISSION = """\
steps:
  - {id: a, step_type: noop, parameters: {message: hello}}
  - {id: b, step_type: noop, parameters: {message: "{{ a.output.message }}"}}
"""


def imported(code: str, *arguments: str | Path, working_dir: Path) -> set[str]:
    """Top-level names that a fresh interpreter has imported after this code."""
    program = f"import json, sys\n{code}\nprint('imported:', json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=working_dir,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("imported: ")]
    assert lines, ran.stderr
    modules: list[Any] = json.loads(lines[0].removeprefix("imported: "))
    return {str(module).partition(".")[0] for module in modules}


@pytest.mark.parametrize("command", [["check"], ["run-local"], ["run-local", "--dry-run"]], ids=" ".join)
def test_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    """`check` and `run-local` import no Airflow, no database, no client of a step that the mission does not have."""
    (tmp_path / "mission.yaml").write_text(MISSION)
    code = (
        "from rustchain_airflow.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code"
    )
    modules = imported(code, *command, "mission.yaml", working_dir=tmp_path)
    assert "rustchain_airflow" in modules
    assert HEAVY & modules == set()


def test_package_imports_nothing(tmp_path: Path) -> None:
    """`import rustchain_airflow` costs Airflow, which imports every provider early, no library at all."""
    assert LIBRARIES & imported("import rustchain_airflow", working_dir=tmp_path) == set()


def test_public_names_are_lazy_and_there(tmp_path: Path) -> None:
    """Every public name of the package can be had, and none of them brings Airflow."""
    code = "import rustchain_airflow\nfor name in rustchain_airflow.__all__: getattr(rustchain_airflow, name)"
    modules = imported(code, working_dir=tmp_path)
    assert "pydantic" in modules
    assert HEAVY & modules == set()
