"""command: a program's arguments, its output, and the ways in which it does not succeed."""

from __future__ import annotations

import json
import sys

import pytest
from pydantic import ValidationError

from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.steps.sdk import StepError, StepRefused, StepTimedOut

SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"

VECTORS = [
    ({"command": "echo", "args": ["a b", "$HOME", "*", "; rm -rf x", "é"]}, "a b $HOME * ; rm -rf x é\n"),
    ({"command": "echo", "args": ["-", 5, 1.5, True, ""]}, "- 5 1.5 true \n"),
    ({"command": "echo 'one  word' two"}, "one  word two\n"),
    ({"command": "echo", "args": []}, "\n"),
    ({"command": "echo the service is up"}, "the service is up\n"),
    ({"command": "echo a | tr a b && echo $((1 + 1))", "shell": True}, "b\n2\n"),
    ({"command": 'echo "$2 $1"', "args": ["a", "b c"], "shell": True}, "b c a\n"),
    ({"command": "pwd | sed 's,.*/,,'", "shell": "true", "cwd": "sub"}, "sub\n"),
    ({"command": "cat", "stdin": "in\nput"}, "in\nput"),
    ({"command": "cat"}, ""),
    ({"command": "printenv", "args": ["NUMBER"], "env": {"NUMBER": 5}}, "5\n"),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "stdout"), VECTORS)
def test_what_runs(run, parameters, stdout):
    """A program gets the arguments as they are written, the standard input and the environment it is given."""
    assert run("command", parameters, files={"sub/x": ""})["stdout"] == stdout


def test_output(run):
    """The output names what ran and has both streams and the exit code."""
    output = run("command", {"command": "sh -c 'echo out; echo err >&2; exit 3'", "expected_exit_codes": [0, 3]})
    assert output.pop("duration_ms") >= 0
    assert output == {
        "command": "sh",
        "args": ["-c", "echo out; echo err >&2; exit 3"],
        "exit_code": 3,
        "stdout": "out\n",
        "stderr": "err\n",
        "truncated": False,
    }


FAULTS = [
    ("exit 1", "exit code 1"),
    ("echo first >&2; echo 'the  reason' >&2; echo >&2; exit 7", "exit code 7: the  reason"),
    ("kill -SEGV $$", "killed by SIGSEGV"),
]


@pytest.mark.parametrize(("script", "error"), FAULTS)
def test_unexpected_exit_code(run, script, error):
    """An unexpected exit code fails the step with the last line of standard error, and keeps the output."""
    with pytest.raises(StepError) as failure:
        run("command", {"command": script, "shell": True})
    assert str(failure.value) == error
    assert failure.value.output.exit_code != 0
    assert failure.value.output.command == script


@pytest.mark.parametrize(
    ("codes", "code", "accepted"), [([1, 2], 2, True), ([1], 0, False), (4, 4, True), ("5", 5, True), ([-9], -9, True)]
)
def test_expected_exit_codes(run, codes, code, accepted):
    """expected_exit_codes replaces [0]; one code needs no list; a negative one is a signal."""
    script = f"exit {code}" if code >= 0 else f"kill {code} $$"
    parameters = {"command": script, "shell": True, "expected_exit_codes": codes}
    if accepted:
        assert run("command", parameters)["exit_code"] == code
    else:
        with pytest.raises(StepError, match=f"exit code {code}"):
            run("command", parameters)


def test_shell_syntax_without_a_shell(run, workspace):
    """A command line with shell syntax is refused before anything runs, and says what to write."""
    with pytest.raises(StepRefused, match=r'shell syntax \(>\).*set "shell: true"'):
        run("command", {"command": "echo x > out.txt"})
    assert list(workspace.root.iterdir()) == []


def test_unbalanced_quotes(run):
    """A quote without its pair is no command line."""
    with pytest.raises(StepRefused, match="no closing quotation"):
        run("command", {"command": "echo 'oops"})


def test_a_program_with_a_blank_in_its_name(run, workspace):
    """With args, even empty ones, command is a program's name and nothing is split."""
    script = workspace.root / "my tool"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    assert run("command", {"command": "./my tool", "args": []})["stdout"] == "ran\n"


def test_truncation(run):
    """Output beyond max_output_bytes is dropped, which truncated says; no character is cut in half."""
    output = run("command", {"command": "printf aéé", "max_output_bytes": 4})
    assert (output["stdout"], output["truncated"]) == ("aé", True)


def test_without_capture(run, context, workspace):
    """Without capture the output goes to the log, line by line, and not to the result."""
    lines: list[str] = []
    context.processes = ProcessRunner(workspace, context.environment, stop=context.stop, log=lines.append)
    output = run("command", {"command": "printf 'one\\ntwo'; echo three >&2", "shell": True, "capture": False})
    assert sorted(lines) == ["one", "three", "two"]
    assert (output["stdout"], output["stderr"], output["truncated"]) == ("", "", False)


def test_timeout_keeps_what_was_written(run, context, workspace):
    """A command that was stopped has its output up to then, and no exit code."""
    context.processes = ProcessRunner(workspace, context.environment, stop=StopToken(0.5), grace_seconds=5)
    with pytest.raises(StepTimedOut, match=r"^timed out after 0\.5 s$") as failure:
        run("command", {"command": "echo so far; exec sleep 60", "shell": True})
    output = failure.value.output
    assert (output["command"], output["exit_code"], output["stdout"]) == (
        "echo so far; exec sleep 60",
        None,
        "so far\n",
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"command": ""},
        {"command": "x", "args": "not a list"},
        {"command": "x", "args": [{"a": 1}]},
        {"command": "x", "args": [None]},
        {"command": "x", "timeout": 0},
        {"command": "x", "expected_exit_codes": []},
        {"command": "x", "working_dir": "a", "cwd": "b"},
    ],
)
def test_invalid_parameters(run, parameters):
    """What cannot be meant is refused by the model."""
    with pytest.raises(ValidationError):
        run("command", parameters)


def test_outside_the_workspace(run):
    """A working directory outside the workspace is refused."""
    with pytest.raises(StepRefused):
        run("command", {"command": "pwd", "working_dir": "../.."})


def test_arguments_arrive_unchanged(run):
    """Arguments with every kind of quote arrive unchanged."""
    args = ['"', "'", "\\", "`x`", "$(y)", "{{z}}", "a\nb", "-n"]
    output = run("command", {"command": sys.executable, "args": ["-c", SHOW, *args]})
    assert output["args"][2:] == args
    assert json.loads(output["stdout"]) == args
