"""Laws of the code: its layers, its names, and what a module owes its reader."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("rustchain_airflow", "operators", "tools", "benchmarks", "tests", "dags")
MODULES = sorted(
    path.relative_to(ROOT)
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if not {"__pycache__", ".env", "golden"} & set(path.parts)
    and not path.is_relative_to(ROOT / "rustchain_airflow/operators")
)
SHIPPED = [path for path in MODULES if path.parts[0] in ("rustchain_airflow", "operators")]
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "manager", "common", "core", "misc"}

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:root|home/\w+|Users/\w+|work)/[\w.-]+")


def tracked() -> list[Path]:
    """The files under version control; in an archive without it, all that such a file could be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def test_layers() -> None:
    """Each layer imports only what lies below it, Airflow stays in its rooms, and no family knows another."""
    lint = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "0 broken" in checked.stdout


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_opens_with_a_sentence(module: Path) -> None:
    """Every module opens with one sentence that says what it holds."""
    docstring = ast.get_docstring(tree(module)) or ""
    first = docstring.split("\n\n")[0].strip()
    assert first[:1].strip()
    assert first.endswith((".", ":")), first


def test_names_say_something() -> None:
    """No module is called utils, helpers, manager, common or core."""
    assert [module for module in MODULES if NAMES_THAT_SAY_NOTHING & {module.stem, *module.parent.parts}] == []


@pytest.mark.parametrize("module", SHIPPED, ids=str)
def test_only_commands_print(module: Path) -> None:
    """Nothing prints but what is a program of its own: the rest returns, logs or tells a reporter."""
    calls = [
        node.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls or _is_a_program(module), calls


def _is_a_program(module: Path) -> bool:
    last = tree(module).body[-1]
    return isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'"


@pytest.mark.parametrize("module", [module for module in SHIPPED if "steps" in module.parts], ids=str)
def test_steps_import_clients_when_they_run(module: Path) -> None:
    """A step module imports nothing at its top but the standard library, pydantic and this house."""
    assert sorted(set(_imported_at_top(tree(module))) - {"pydantic", "pydantic_core", "rustchain_airflow"}) == []


def _imported_at_top(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from (top for name in names if (top := name.partition(".")[0]) not in sys.stdlib_module_names)


def test_no_machine_paths() -> None:
    """No tracked file names a folder of the machine it was written on."""
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []
