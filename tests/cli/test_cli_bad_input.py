"""Bad input gets a message with its code and place, exit code 2, and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_program import PROGRAM, Call

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


MAKERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda path: None, "RC016", "there is no such file"),
    "behind a file": (lambda path: path.parent.rmdir(), "RC016", "there is no such file"),
    "0 bytes": (lambda path: path.write_bytes(b""), "RC015", "the file is empty"),
    "1 GB": (_sparse, "RC020", "the file has 1,073,741,824 bytes"),
    "binary": (lambda path: path.write_bytes(bytes(range(1, 256)) + b"\0"), "RC021", "not a text file"),
    "not UTF-8": (lambda path: path.write_bytes("name: Größe".encode("latin-1")), "RC022", "not encoded in UTF-8"),
    "alias bomb": (lambda path: path.write_text(BOMB), "RC008", "aliases"),
    "a pipe nobody writes to": (os.mkfifo, "RC019", "not a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "RC018", "cannot be read"),
}


@pytest.mark.parametrize("command", ["run-local", "compile", "check"])
@pytest.mark.parametrize("case", MAKERS)
def test_bad_files(call: Call, here: Path, command: str, case: str) -> None:
    """A file that is no mission is named, with what is wrong with it."""
    make, code, message = MAKERS[case]
    folder = here / "given"
    folder.mkdir()
    make(folder / "mission.yaml")
    if case == "behind a file":
        folder.write_text("not a folder")
    result = call(command, "given/mission.yaml", *(["-o", "dags"] if command == "compile" else []))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("given/mission.yaml:")
    assert f"error {code} " in result.stderr
    assert message in result.stderr
    assert {path.name for path in here.iterdir()} == {"given"}


@pytest.mark.parametrize("command", ["run-local", "compile", "check"])
def test_a_file_that_changes(call: Call, here: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A file that grows while it is read is not half a mission."""
    mission = here / "mission.yaml"
    mission.write_text("steps: [{id: a, step_type: noop}]\n")
    read = os.read

    def read_then_grow(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if os.path.samestat(os.fstat(descriptor), mission.stat()):
            with mission.open("a") as file:
                file.write("# more\n")
        return data

    monkeypatch.setattr(os, "read", read_then_grow)
    result = call(command, "mission.yaml")
    assert result.exit_code == 2
    assert "error RC023 the file changed while it was read" in result.stderr


@pytest.mark.parametrize("command", ["compile", "check"])
def test_a_folder_without_missions(call: Call, here: Path, command: str) -> None:
    """A folder without missions is named, whatever else is in it."""
    (here / "empty").mkdir()
    (here / "empty" / "compose.yaml").write_text("services: {}")
    (here / "empty" / "notes.txt").write_text("steps: [{id: a, step_type: noop}]")
    result = call(command, "empty")
    assert result.exit_code == 2
    assert "no mission files in empty" in result.stderr


def test_a_folder_is_not_run(call: Call, here: Path) -> None:
    """Only one mission is run at a time: a folder is refused."""
    (here / "missions").mkdir()
    result = call("run-local", "missions")
    assert result.exit_code == 2
    assert "missions: error RC017 this is a directory, not a file" in result.stderr


@pytest.mark.parametrize("output_dir", ["file", "file/below"])
@pytest.mark.parametrize("flags", [[], ["--check"]], ids=["write", "check"])
def test_output_that_cannot_be_a_folder(call: Call, here: Path, output_dir: str, flags: list[str]) -> None:
    """An output folder that cannot be one is named; the file in its place is left as it was."""
    (here / "file").write_text("mine")
    (here / "m.yaml").write_text("steps: [{id: a, step_type: noop}]")
    result = call("compile", "m.yaml", "-o", output_dir, *flags)
    if flags and output_dir == "file/below":
        assert (result.exit_code, result.stdout) == (1, "missing: file/below/m.py\n")
    else:
        assert result.exit_code == 2
        assert "file" in result.stderr.splitlines()[-1]
    assert (here / "file").read_text() == "mine"


@pytest.mark.parametrize("workspace", ["file", "file/below"])
def test_workspace_that_cannot_be_a_folder(call: Call, here: Path, workspace: str) -> None:
    """A workspace that cannot be a folder is named before any step runs."""
    (here / "file").write_text("mine")
    result = call("run-local", "-", "--workspace", workspace, stdin="steps: [{id: a, step_type: noop}]")
    assert result.exit_code == 2
    assert "file" in result.stderr.splitlines()[-1]
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("option", "name", "content", "message"),
    [
        ("--env-file", "given", b"A=1\nnot a line\nB=2\n= 3\n", "given: not NAME=VALUE in line 2, 4"),
        ("--env-file", "given", b"A=\xff\n", "cannot read given: it is not encoded in UTF-8"),
        ("--connections", "given.json", b'{"db": 3}', 'given.json: "db" is neither a URI nor an object'),
        ("--connections", "given.json", b"{", "given.json: "),
        ("--connections", "given.yaml", b"\xff\xfe", "given.yaml: "),
        ("--connections", "given.txt", b"", "given.txt: its name must end in"),
    ],
)
def test_bad_companions(call: Call, here: Path, option: str, name: str, content: bytes, message: str) -> None:
    """A broken env file or connections file is named with its fault, and no step runs."""
    (here / name).write_bytes(content)
    mission = "steps: [{id: a, step_type: create_file, parameters: {path: ran.txt}}]"
    result = call("run-local", "-", option, name, stdin=mission)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (here / "ran.txt").exists()


def test_standard_input_without_end() -> None:
    """Standard input is read up to the limit and no further, so that a stream without end is answered."""
    with Path("/dev/zero").open("rb") as zeros:
        ended = subprocess.run(
            [*PROGRAM, "check", "-"], stdin=zeros, capture_output=True, text=True, timeout=60, check=False
        )
    assert ended.returncode == 2
    assert "<stdin>: error RC020 there are more than 134,217,728 bytes" in ended.stderr


def test_standard_input_that_is_closed() -> None:
    """A program started without standard input says so."""
    ended = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *PROGRAM, "check", "-"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert "standard input is closed" in ended.stderr


def test_a_file_name_that_is_no_text(call: Call, here: Path) -> None:
    """A mission whose file name is no UTF-8 runs and compiles like any other."""
    name = os.fsdecode(b"\xff.yaml")
    (here / name).write_text("steps: [{id: a, step_type: noop}]")
    assert call("run-local", name).exit_code == 0
    assert call("compile", name, "-o", "dags").exit_code == 0
    compile((here / "dags" / "_.py").read_text(encoding="utf-8"), "_.py", "exec")


def test_findings_as_json(call: Call, here: Path) -> None:
    """``check --output json`` is a list of findings with code, place and help, and nothing else."""
    (here / "bad.yaml").write_text("steps:\n  - {id: a, step_type: nop}\n")
    result = call("check", "bad.yaml", "missing.yaml", "--output", "json")
    assert result.exit_code == 2
    assert result.stderr == ""
    first, second = json.loads(result.stdout)
    assert first == {
        "code": "RC109",
        "severity": "error",
        "file": "bad.yaml",
        "line": 2,
        "column": 24,
        "end_line": 2,
        "end_column": 27,
        "message": 'unknown step type "nop"',
        "help": 'did you mean "noop"?',
    }
    assert (second["code"], second["file"], second["line"]) == ("RC016", "missing.yaml", None)


def test_no_findings_as_json(call: Call) -> None:
    """A mission without findings is an empty list."""
    result = call("check", "-", "--output", "json", stdin='{"steps": [{"id": "a", "step_type": "noop"}]}')
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


@pytest.mark.parametrize("text", [b"", b"\0\1", b"\xff", BOMB.encode()], ids=["empty", "binary", "not UTF-8", "bomb"])
@pytest.mark.parametrize("command", ["run-local", "compile", "check"])
def test_bad_standard_input(call: Call, command: str, text: bytes) -> None:
    """What is wrong with standard input is said as of a file."""
    result = call(command, "-", stdin=text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("<stdin>:")


def test_one_bad_file_hides_no_other(call: Call, here: Path) -> None:
    """All missions of a folder are checked; each that is wrong is named, and no other."""
    (here / "broken.yaml").write_text("steps: [{id: a, step_type: noop,\n")
    (here / "cyclic.yaml").write_text("steps: [{id: a, step_type: noop, depends_on: [a]}]")
    (here / "right.yaml").write_text("steps: [{id: a, step_type: noop}]")
    result = call("check", ".")
    assert result.exit_code == 2
    assert "broken.yaml:" in result.stderr
    assert "cyclic.yaml:" in result.stderr
    assert "right.yaml" not in result.stderr
