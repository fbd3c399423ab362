"""What happens to a running mission when its program is told to stop, and how it looks in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from cli_program import PROGRAM

LONG = """
steps:
  - {id: long, step_type: command, parameters: {command: 'echo $$ > started; exec sleep 600', shell: true}}
  - {id: after, step_type: noop, depends_on: [long]}
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_cancelled(here: Path, number: signal.Signals, output: str) -> None:
    """SIGINT and SIGTERM end the running step's process, skip the rest, and end with 130 and Cancelled (§6.4)."""
    (here / "mission.yaml").write_text(LONG)
    os.mkfifo(here / "started")
    with subprocess.Popen(
        [*PROGRAM, "run-local", "mission.yaml", "--output", output],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        child = int((here / "started").read_text())  # waits until the step has opened the pipe
        assert psutil.pid_exists(child)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not psutil.pid_exists(child)
    if output == "text":
        assert stdout.splitlines()[-1].startswith("Cancelled in ")
        return
    result = json.loads(stdout)
    assert result["status"] == "Cancelled"
    assert {name: step["status"] for name, step in result["step_results"].items()} == {
        "long": "Failed",
        "after": "Skipped",
    }


def in_terminal(here: Path, mission: str, term: str = "xterm") -> tuple[int, str]:
    """Run a mission in a pseudo-terminal: the exit code, and everything the terminal was sent."""
    (here / "mission.yaml").write_text(mission)
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*PROGRAM, "run-local", "mission.yaml"],
            cwd=here,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": term},
        )
    finally:
        os.close(theirs)
    received = b""
    try:
        while data := os.read(ours, 4096):
            received += data
    except OSError:
        pass  # Linux's way to say that the last user of the terminal is gone
    finally:
        os.close(ours)
    return process.wait(60), received.decode()


def lines_of(shown: str) -> list[str]:
    """What was sent to the terminal, without escape codes and empty lines."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.mark.parametrize(
    ("command", "code", "verdict"),
    [("'true'", 0, r"Completed in .*: 2 success"), ("'false'", 1, r"Failed in .*: 1 failed, 1 skipped")],
)
def test_live_display(here: Path, command: str, code: int, verdict: str) -> None:
    """In a terminal the display tells each step's end and n of N, and the last line is the verdict."""
    mission = (
        f"steps: [{{id: first, step_type: command, parameters: {{command: {command}}}}},"
        " {id: second, step_type: noop, depends_on: [first]}]"
    )
    ended, shown = in_terminal(here, mission)
    assert ended == code, shown
    assert "\x1b[" in shown
    lines = lines_of(shown)
    assert re.fullmatch(verdict, lines[-1]), lines
    assert any(re.match(r"[✓✗] first ", line) for line in lines)
    assert any(re.match(r"[✓–] second ", line) for line in lines)
    assert "0 of 2" in lines
    assert "2 of 2" in lines
    assert "\x1b[?25h" in shown[shown.index("\x1b[?25l") :], "the cursor is given back"


def test_live_display_is_not_the_missions(here: Path) -> None:
    """A program's control characters do not reach the terminal: they are shown as escapes."""
    mission = r"""
steps:
  - id: a
    step_type: command
    parameters: {command: 'printf "\033]0;owned\007" >&2; exit 1', shell: true}
"""
    ended, shown = in_terminal(here, mission)
    assert ended == 1
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert "\\x1b]0;owned\\x07" in shown


def test_dumb_terminal(here: Path) -> None:
    """A terminal that knows no escape codes gets plain lines."""
    ended, shown = in_terminal(here, "steps: [{id: a, step_type: noop}]", term="dumb")
    assert ended == 0
    assert "\x1b" not in shown
    assert lines_of(shown)[-1].startswith("Completed in ")
