"""What the program says of itself: help, step types."""

from __future__ import annotations

import json

import pytest
from cli_program import Call

from rustchain_airflow.step_type import Family, StepType

COMMANDS = ["run-local", "compile", "check", "steps", "schema"]


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words) or "program")
def test_help(call: Call, words: list[str], option: str) -> None:
    """Every help opens with one sentence and two example lines, before any option."""
    result = call(*words, option)
    assert result.exit_code == 0
    usage, about, examples, *_ = result.stdout.split("\n\n")
    assert usage.startswith("Usage: rustchain-airflow")
    assert about.strip().endswith(".")
    lines = [line.strip() for line in examples.splitlines()]
    assert len(lines) == 2
    assert lines[0].startswith(" ".join(["rustchain-airflow", *words]))


def test_all_commands_are_listed(call: Call) -> None:
    """The program's help names every command and every exit code."""
    said = call("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in said
    for code in ("0 completed", "1 failed", "2 invalid", "3 refused", "130 cancelled"):
        assert code in " ".join(said.split())


@pytest.mark.parametrize(("alias", "name"), [("run", "run-local"), ("validate", "check")])
def test_aliases(call: Call, alias: str, name: str) -> None:
    """`run` is run-local and `validate` is check, option for option."""
    assert call(alias, "-h").stdout.splitlines()[1:] == call(name, "-h").stdout.splitlines()[1:]


def test_steps_as_json(call: Call) -> None:
    """``steps --output json`` lists all 51 types, each with family, summary, parameters and output."""
    listed = json.loads(call("steps", "--output", "json").stdout)
    assert [step["step_type"] for step in listed] == [name.value for name in StepType]
    assert len(listed) == 51
    for step in listed:
        assert step["family"] in {family.value for family in Family}
        assert step.keys() >= {"step_type", "family", "available", "summary", "parameters", "output"}
        if step["available"]:
            assert step["summary"]
            assert step["output"]
        for name, parameter in step["parameters"].items():
            assert parameter["type"], name
            assert parameter["description"], name


def test_one_step_type(call: Call) -> None:
    """``steps TYPE`` is that type's page, and as JSON a list of it alone, as in the whole list."""
    (one,) = json.loads(call("steps", "create_file", "--output", "json").stdout)
    everything = json.loads(call("steps", "--output", "json").stdout)
    assert one == next(step for step in everything if step["step_type"] == "create_file")
    page = call("steps", "create_file").stdout
    assert page.startswith("create_file (file)\n")
    for name in [*one["parameters"], *one["output"]]:
        assert f"\n  {name}  (" in page


def test_steps_as_text(call: Call) -> None:
    """``steps`` is one line a type, under its family."""
    lines = call("steps").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [
        name.value for family in Family for name in StepType if name.family is family
    ]
    assert [line for line in lines if not line.startswith("  ")] == [family.value for family in Family]
