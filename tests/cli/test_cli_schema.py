"""``schema`` prints a JSON Schema that agrees with the checker about what a mission is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cli_program import Call
from jsonschema import Draft202012Validator

from rustchain_airflow.check import check_text
from rustchain_airflow.source import read_file, read_text

ROOT = Path(__file__).resolve().parents[2]
GOOD = sorted([*(ROOT / "tests/missions/ok").iterdir(), *(ROOT / "dags").glob("*.yaml")])


@pytest.fixture
def errors(call: Call) -> Any:
    """What the printed schema has against a value."""
    validator = Draft202012Validator(_schema(call("schema").stdout))
    return lambda value: [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@cache
def _schema(text: str) -> Any:
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    return schema


def test_schema_is_one(call: Call) -> None:
    """The output is valid JSON Schema of draft 2020-12, and nothing else."""
    schema = _schema(call("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_good_missions(errors: Any, path: Path) -> None:
    """What the checker accepts, the schema accepts."""
    assert errors(read_file(path).value) == []


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "text",
        "name: no steps",
        "steps: []",
        "steps: text",
        "steps: [text]",
        "steps: [{step_type: noop}]",
        "steps: [{id: a}]",
        "steps: [{id: a, step_type: teleport}]",
        "steps: [{id: 'a b', step_type: noop}]",
        "steps: [{id: a, step_type: noop, depends_on: b}]",
        "steps: [{id: a, step_type: noop, continue_on_error: maybe}]",
        "steps: [{id: a, step_type: noop, parameters: [x]}]",
        "steps: [{id: a, step_type: create_file}]",
        "steps: [{id: a, step_type: create_file, parameters: {}}]",
        "steps: [{id: a, step_type: create_file, parameters: {path: [a]}}]",
        "steps: [{id: a, step_type: command, parameters: {command: ls, args: 3}}]",
        "steps: [{id: a, step_type: noop}]\nconfig: {fail_fast: [x]}",
        "steps: [{id: a, step_type: noop}]\nconfig: {max_concurrent_steps: many}",
    ],
)
def test_bad_missions(errors: Any, text: str) -> None:
    """What the checker calls an error of shape, the schema refuses."""
    assert not check_text(text).ok
    assert errors(read_text(text, name="mission.yaml").value)


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{id: a, step_type: noop}]\ncolour: red",
        "steps: [{id: a, step_type: noop, colour: red}]",
        "steps: [{id: a, step_type: create_file, parameters: {path: a, colour: red}}]",
    ],
)
def test_unknown_keys(errors: Any, text: str) -> None:
    """An unknown key is marked in the editor, as it is an error for --strict."""
    assert check_text(text).ok
    assert not check_text(text, strict=True).ok
    assert errors(read_text(text, name="mission.yaml").value)


def test_the_message_is_about_the_step_type(errors: Any) -> None:
    """A wrong parameter is reported for the step's own type, not for all that it might have been."""
    value = {"steps": [{"id": "a", "step_type": "create_file", "parameters": {"path": ["a"]}}]}
    found = errors(value)
    assert len(found) == 1
    assert found[0].startswith("$.steps[0].parameters.path: ")
