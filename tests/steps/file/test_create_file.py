"""create_file: writes a file, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError, StepRefused


@pytest.mark.parametrize(
    ("parameters", "content"),
    [
        ({}, b""),
        ({"content": "Hello, World!"}, b"Hello, World!"),
        ({"text": "an alias"}, b"an alias"),
        ({"content": "line\r\nline\n"}, b"line\r\nline\n"),
        ({"content": "ü", "encoding": "latin-1"}, b"\xfc"),
        ({"content": "AAH/", "encoding": "base64"}, b"\x00\x01\xff"),
    ],
)
def test_the_content_is_written_as_it_is(
    run: Any, workspace: GuardedWorkspace, parameters: Any, content: bytes
) -> None:
    """Bytes are those of the text in the encoding, with no line end changed."""
    output = run("create_file", {"path": "a.txt", **parameters})
    assert (workspace.root / "a.txt").read_bytes() == content
    assert output == {"path": "a.txt", "size": len(content), "created": True, "mode": "644"}


@pytest.mark.parametrize("path", ["deep/er/file", "ünïcode/☃.txt", "a\nb", "./x//y", "notes~1.txt"])
def test_folders_are_made(run: Any, workspace: GuardedWorkspace, path: str) -> None:
    """Parents are made, whatever the names are made of."""
    output = run("create_file", {"path": path, "content": "x"})
    assert (workspace.root / path).read_text() == "x"
    assert output["path"] == os.path.normpath(path)


@pytest.mark.parametrize("key", ["mode", "permissions"])
@pytest.mark.parametrize("mode", ["600", "0600", "0o600", 600])
def test_a_mode_is_octal_digits(run: Any, workspace: GuardedWorkspace, key: str, mode: object) -> None:
    """The digits are octal, as text or as the number a YAML reader makes of them."""
    output = run("create_file", {"path": "a", key: mode})
    assert output["mode"] == "600"
    assert (workspace.root / "a").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("mode", ["rw-r--r--", "888", "64", "4755", "", -644])
def test_other_modes_are_invalid(run: Any, mode: object) -> None:
    """What is not three octal digits is refused; set-id bits are."""
    with pytest.raises(ValidationError, match=r"a mode is three octal digits"):
        run("create_file", {"path": "a", "mode": mode})


def test_a_replaced_file_keeps_its_mode(run: Any, workspace: GuardedWorkspace) -> None:
    """created is false, and permissions stay unless given."""
    (workspace.root / "a").write_text("old, and longer")
    (workspace.root / "a").chmod(0o750)
    output = run("create_file", {"path": "a", "content": "new"})
    assert output == {"path": "a", "size": 3, "created": False, "mode": "750"}
    assert (workspace.root / "a").read_text() == "new"


def test_overwrite_false_keeps_what_is_there(run: Any, files: Any) -> None:
    """An existing file fails the step and is not touched."""
    with pytest.raises(StepError, match=r"^a exists already$"):
        run("create_file", {"path": "a", "content": "new", "overwrite": "false"}, files={"a": "old"})
    assert files() == {"a": "old"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"path": "../a"}, 'path "../a" leaves the workspace'),
        ({"path": "a", "content": "x€", "encoding": "latin-1"}, "character 1 of the content (U+20AC) cannot be"),
        ({"path": "a", "content": "!", "encoding": "base64"}, "content is not base64"),
    ],
)
def test_what_is_refused(run: Any, files: Any, parameters: Any, message: str) -> None:
    """What cannot be right another time is refused, and nothing is written."""
    with pytest.raises(StepRefused) as refusal:
        run("create_file", parameters)
    assert str(refusal.value).startswith(message)
    assert files() == {}


def test_an_unknown_encoding_is_invalid(run: Any) -> None:
    """The message names encodings that exist."""
    with pytest.raises(ValidationError, match='there is no text encoding "utf-9"'):
        run("create_file", {"path": "a", "encoding": "utf-9"})


@pytest.mark.parametrize("path", ["file/below", "folder", "folder/"])
def test_a_path_that_cannot_be_a_file_fails(run: Any, files: Any, path: str) -> None:
    """A file used as a folder, and a folder used as a file."""
    with pytest.raises(StepError):
        run("create_file", {"path": path}, files={"file": "", "folder/x": ""})
    assert files() == {"file": "", "folder/x": ""}


def test_a_full_disk_leaves_no_half_file(run: Any, small_disk: Path) -> None:
    """Where there is no space the step fails, the old content stays, and no temporary file is left."""
    (small_disk / "a").write_text("old")
    with pytest.raises(StepError, match=r"^no space left on the device for disk/a$"):
        run("create_file", {"path": "disk/a", "content": "x" * 2_000_000})
    assert os.listdir(small_disk) == ["a"]
    assert (small_disk / "a").read_text() == "old"
