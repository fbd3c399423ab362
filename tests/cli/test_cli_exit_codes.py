"""The exit code says how it ended (semantics §6.4), and no ending shows a traceback unless asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_program import PROGRAM, Call, Program

OK = "steps: [{id: a, step_type: noop}]"
FAILS = "steps: [{id: a, step_type: command, parameters: {command: 'false'}}]"
TOLERATED = "steps: [{id: a, step_type: command, continue_on_error: true, parameters: {command: 'false'}}]"
UNSAFE = "steps: [{id: a, step_type: create_file, parameters: {path: ../outside.txt}}]"
UNSAFE_AND_WRONG = "steps: [{id: a, step_type: create_file, parameters: {path: ../outside.txt}, depends_on: [b]}]"
WARNED = "steps: [{id: a, step_type: noop, colour: red}]"

TABLE = [
    pytest.param(["run-local"], OK, 0, id="completed"),
    pytest.param(["run"], TOLERATED, 0, id="a tolerated failure"),
    pytest.param(["run-local"], FAILS, 1, id="failed"),
    pytest.param(["run-local"], "steps: []", 2, id="invalid"),
    pytest.param(["run-local"], UNSAFE, 3, id="refused by safety"),
    pytest.param(["run-local"], UNSAFE_AND_WRONG, 2, id="refused and invalid"),
    pytest.param(["run-local", "--dry-run"], FAILS, 0, id="a plan of what would fail"),
    pytest.param(["check"], FAILS, 0, id="checked"),
    pytest.param(["validate"], FAILS, 0, id="checked by the other name"),
    pytest.param(["check"], "steps: 3", 2, id="checked and invalid"),
    pytest.param(["check"], UNSAFE, 3, id="checked and unsafe"),
    pytest.param(["check"], WARNED, 0, id="a warning"),
    pytest.param(["check", "--strict"], WARNED, 2, id="a warning, strictly"),
    pytest.param(["run-local", "--strict"], WARNED, 2, id="run, strictly"),
    pytest.param(["compile", "--strict"], WARNED, 2, id="compiled, strictly"),
    pytest.param(["compile"], OK, 0, id="compiled"),
    pytest.param(["compile"], "steps: 3", 2, id="compiled and invalid"),
    pytest.param(["compile"], UNSAFE, 3, id="compiled and unsafe"),
    pytest.param(["compile", "--check", "-o", "dags"], OK, 1, id="drift"),
]


@pytest.mark.parametrize(("arguments", "mission", "code"), TABLE)
def test_exit_codes(call: Call, here: Path, arguments: list[str], mission: str, code: int) -> None:
    """0 completed, 1 failed, 2 invalid, 3 refused by safety and by nothing else (semantics §6.4)."""
    (here / "mission.yaml").write_text(mission)
    assert call(*arguments, "mission.yaml").exit_code == code


@pytest.mark.parametrize(("arguments", "mission", "code"), TABLE)
def test_exit_codes_from_standard_input(call: Call, arguments: list[str], mission: str, code: int) -> None:
    """A mission on standard input ends as the same mission in a file."""
    assert call(*arguments, "-", stdin=mission).exit_code == code


MISUSES = [
    ["run-local"],
    ["run-local", "one.yaml", "two.yaml"],
    ["check"],
    ["compile"],
    ["steps", "noop", "command"],
    ["schema", "extra"],
    ["run-local", "ok.yaml", "--output", "xml"],
    ["run-local", "ok.yaml", "--max-concurrent", "0"],
    ["run-local", "ok.yaml", "--max-concurrent", "many"],
    ["run-local", "ok.yaml", "--var", "novalue"],
    ["run-local", "ok.yaml", "--var", "=nameless"],
    ["run-local", "ok.yaml", "--env-file", "missing.env"],
    ["run-local", "ok.yaml", "--connections", "missing.yaml"],
    ["run-local", "ok.yaml", "--no-such-option"],
    ["compile", "ok.yaml", "--check"],
    ["compile", "ok.yaml", "other.yaml"],
    ["steps", "nothing_like_it"],
    ["frobnicate"],
]


@pytest.mark.parametrize("arguments", MISUSES, ids=" ".join)
def test_misuse(call: Call, here: Path, arguments: list[str]) -> None:
    """A misused command is exit code 2, one message on standard error, and nothing on standard output."""
    (here / "ok.yaml").write_text(OK)
    (here / "other.yaml").write_text(OK)
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["chekc", "m.yaml"], 'no command "chekc"; did you mean "check"?'),
        (["run_local", "m.yaml"], 'no command "run_local"; did you mean "run-local"?'),
        (["valdate", "m.yaml"], 'no command "valdate"; did you mean "validate"?'),
        (["steps", "creat_file"], 'no step type "creat_file"; did you mean "create_file"?'),
        (["steps", "htpt"], 'no step type "htpt"; did you mean "http"?'),
    ],
)
def test_did_you_mean(call: Call, arguments: list[str], suggestion: str) -> None:
    """An unknown name gets the nearest that exists."""
    result = call(*arguments)
    assert result.exit_code == 2
    assert suggestion in result.stderr


def test_did_you_mean_of_a_step_type_in_a_mission(call: Call) -> None:
    """A mission's unknown step type gets the nearest too."""
    result = call("check", "-", stdin="steps: [{id: a, step_type: creat_file, parameters: {path: a}}]")
    assert result.exit_code == 2
    assert 'help: did you mean "create_file"?' in result.stderr


FAULTY = """
import sys
import rustchain_airflow.check.schema as schema
from rustchain_airflow.cli import main

def fails():
    raise RuntimeError("a fault of our own")

schema.mission_schema = fails
main(sys.argv[1:])
"""


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_are_for_debug(debug: bool) -> None:
    """A fault of the program itself is one line and exit code 1; --debug adds the traceback."""
    arguments = ["--debug", "schema"] if debug else ["schema"]
    ended = subprocess.run(
        [sys.executable, "-c", FAULTY, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ("Traceback (most recent call last)" in ended.stderr) is debug
    assert "RuntimeError: a fault of our own" in ended.stderr
    assert ("--debug" in ended.stderr) is not debug


def test_a_reader_that_leaves() -> None:
    """A pipe whose reader leaves early ends the program without a word."""
    process = subprocess.Popen([*PROGRAM, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 1


def test_the_program_and_its_version(program: Program) -> None:
    """The program answers to its version without a command."""
    from rustchain_airflow import __version__

    ended = program("--version")
    assert (ended.returncode, ended.stdout) == (0, f"rustchain-airflow {__version__}\n")


@pytest.mark.parametrize("mission", [OK, FAILS, "steps: 3"], ids=["completed", "failed", "invalid"])
def test_the_process_ends_with_the_code(program: Program, mission: str) -> None:
    """What main answers is what the process ends with."""
    codes = {OK: 0, FAILS: 1, "steps: 3": 2}
    ended = program("run-local", "-", "--output", "json", stdin=mission)
    assert ended.returncode == codes[mission]
    if ended.stdout:
        assert json.loads(ended.stdout)["status"] == ("Completed" if ended.returncode == 0 else "Failed")
