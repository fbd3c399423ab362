"""read_file: a whole file as text."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError


@pytest.mark.parametrize(
    ("content", "parameters", "text", "encoding"),
    [
        (b"", {}, "", "utf-8"),
        (b"", {"max_bytes": 0}, "", "utf-8"),
        (b"Processed: Hello\r\n", {}, "Processed: Hello\r\n", "utf-8"),
        ("üñ☃".encode(), {"encoding": "UTF8"}, "üñ☃", "UTF8"),
        (b"\xef\xbb\xbfx", {"encoding": "utf-8-sig"}, "x", "utf-8-sig"),
        (b"\xfc", {"encoding": "latin-1"}, "ü", "latin-1"),
        (b"\x00\x01\xff", {"encoding": "base64"}, "AAH/", "base64"),
        (b"12345", {"max_bytes": "5"}, "12345", "utf-8"),
        (b"x", {"variable": "any name"}, "x", "utf-8"),
    ],
)
def test_the_content_is_given_as_it_is(run: Any, content: bytes, parameters: Any, text: str, encoding: str) -> None:
    """No line end changes, no byte is dropped; the size is that of the file."""
    output = run("read_file", {"path": "a", **parameters}, files={"a": content})
    assert output == {"path": "a", "content": text, "size": len(content), "encoding": encoding}


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("none.csv", {}, "no such file: none.csv"),
        ("folder", {}, "folder is a folder, not a file"),
        ("binary", {}, "binary is not utf-8 text: byte 1 is 0xff; set encoding to the file's own, or to base64 "
                       "for binary content"),
        ("binary", {"max_bytes": 1}, "binary has 2 bytes, more than max_bytes = 1"),
        ("pipe", {}, "pipe is a pipe, not a file"),
    ],
)  # fmt: skip
def test_what_fails(run: Any, workspace: GuardedWorkspace, path: str, parameters: Any, message: str) -> None:
    """One line that says the fault and how to mend it."""
    os.mkfifo(workspace.root / "pipe")
    with pytest.raises(StepError) as error:
        run("read_file", {"path": path, **parameters}, files={"folder/x": "", "binary": b"x\xff"})
    assert str(error.value) == message


@pytest.mark.parametrize("parameters", [{"encoding": "hex"}, {"encoding": "no-such"}, {"max_bytes": -1}])
def test_invalid_parameters(run: Any, parameters: Any) -> None:
    """An encoding is one for text, and a limit is not negative."""
    with pytest.raises(ValidationError):
        run("read_file", {"path": "a", **parameters}, files={"a": ""})
