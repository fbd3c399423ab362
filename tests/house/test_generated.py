"""Laws of what is made from the code: it is up to date, and the JSON Schema says what `check` says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rustchain_airflow.check import check_file
from rustchain_airflow.source import read_file, read_text

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "mission.schema.json").read_text(encoding="utf-8"))
GOOD = sorted(
    path
    for folder in ("dags", "tests/missions/ok", "tests/missions/families", "tests/golden")
    for path in (ROOT / folder).iterdir()
    if path.suffix in (".yaml", ".json")
)


def mission(parameters: str = "{}", step_type: str = "noop", rest: str = "", header: str = "") -> str:
    return f"{header}\nsteps:\n  - {{id: a, step_type: {step_type}, parameters: {parameters}{rest}}}\n"


BAD = {
    "no steps": "name: x\n",
    "no step in steps": "steps: []\n",
    "no id": "steps:\n  - {step_type: noop}\n",
    "no step type": "steps:\n  - {id: a}\n",
    "unknown step type": mission(step_type="create_fil"),
    "id with a blank": "steps:\n  - {id: a b, step_type: noop}\n",
    "unknown key of the mission": mission(header="descripton: x"),
    "unknown key of a step": mission(rest=", depend_on: []"),
    "unknown setting": mission(header="config: {fail_fasst: true}"),
    "setting of the wrong type": mission(header="config: {max_concurrent_steps: many}"),
    "negative time limit": mission(rest=", timeout_seconds: -1"),
    "dependency that is no text": mission(rest=", depends_on: [1]"),
    "missing parameter": mission("{content: x}", "create_file"),
    "missing parameters": "steps:\n  - {id: a, step_type: create_file}\n",
    "unknown parameter": mission("{path: x, contnet: y}", "create_file"),
    "parameter of the wrong type": mission("{path: [x]}", "create_file"),
    "parameter outside its choices": mission("{path: x, kind: folders}", "list_directory"),
}


def accepts(value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(value))


def test_up_to_date() -> None:
    """`make generate` would change nothing."""
    ran = subprocess.run(
        [sys.executable, "-m", "tools.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_schema_is_one() -> None:
    """The schema is a valid JSON Schema of draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_schema_accepts(path: Path) -> None:
    """An editor marks nothing in a mission that is right; keys that `check` does not know, it does not know either."""
    unknown_keys = any(finding.code == "RC104" for finding in check_file(path).diagnostics)
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(read_file(path).value))
    assert [error.message for error in errors if error.validator != "additionalProperties"] == []
    assert bool(errors) == unknown_keys


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_schema_refuses(text: str) -> None:
    """An editor marks what `check` would find; the same mission without the fault passes."""
    assert accepts(read_text(mission(), name="m.yaml", format="yaml").value)
    assert not accepts(read_text(text, name="m.yaml", format="yaml").value)
