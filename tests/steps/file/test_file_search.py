"""file_search: lines by text or regular expression."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.file import file_search
from rustchain_airflow.steps.sdk import StepError

FILES = {
    "a.txt": "one\nTwo two\nthree\n",
    "b.log": "two\r\nzwei",
    ".hidden": "two\n",
    "sub/c.txt": "k\nK\n\u212a\nüTWO\n",
    "sub/deep/d.txt": "a.c\nabc\n",
    "empty": "",
}


@pytest.mark.parametrize(
    ("parameters", "matches"),
    [
        ({"pattern": "two"}, [(".hidden", 1, "two"), ("a.txt", 2, "Two two"), ("b.log", 1, "two")]),
        ({"pattern": "two", "ignore_case": True},
         [(".hidden", 1, "two"), ("a.txt", 2, "Two two"), ("b.log", 1, "two"), ("sub/c.txt", 4, "üTWO")]),
        ({"pattern": "Ütwo", "ignore_case": True}, [("sub/c.txt", 4, "üTWO")]),
        ({"pattern": "k", "ignore_case": True}, [("sub/c.txt", 1, "k"), ("sub/c.txt", 2, "K")]),
        ({"pattern": "\u212a"}, [("sub/c.txt", 3, "\u212a")]),
        ({"pattern": "a.c"}, [("sub/deep/d.txt", 1, "a.c")]),
        ({"pattern": "a.c", "regex": True}, [("sub/deep/d.txt", 1, "a.c"), ("sub/deep/d.txt", 2, "abc")]),
        ({"pattern": "^t", "regex": True}, [(".hidden", 1, "two"), ("a.txt", 3, "three"), ("b.log", 1, "two")]),
        ({"pattern": "^T", "regex": True, "ignore_case": True, "path": "a.txt"},
         [("a.txt", 2, "Two two"), ("a.txt", 3, "three")]),
        ({"pattern": "$", "regex": True, "path": "a.txt"},
         [("a.txt", 1, "one"), ("a.txt", 2, "Two two"), ("a.txt", 3, "three")]),
        ({"pattern": "$", "regex": True, "path": "empty"}, []),
        ({"pattern": "e\nT"}, [("a.txt", 1, "one")]),
        ({"pattern": "two", "glob": "*.txt"}, [("a.txt", 2, "Two two")]),
        ({"pattern": "c", "glob": "sub/**/*.txt"}, [("sub/deep/d.txt", 1, "a.c"), ("sub/deep/d.txt", 2, "abc")]),
        ({"pattern": "c", "path": "sub", "glob": "deep/*"},
         [("sub/deep/d.txt", 1, "a.c"), ("sub/deep/d.txt", 2, "abc")]),
        ({"pattern": "two", "name_pattern": "*.log"}, [("b.log", 1, "two")]),
        ({"pattern": "two", "name_pattern": "*.log", "glob": "sub/**"}, []),
        ({"pattern": "zwei", "path": "b.log"}, [("b.log", 2, "zwei")]),
        ({"pattern": "nowhere"}, []),
    ],
)  # fmt: skip
def test_what_is_found(run: Any, parameters: Any, matches: list[tuple[str, int, str]]) -> None:
    """Lines in file order, each once, without their ends."""
    output = run("file_search", parameters, files=FILES)
    assert [(match["path"], match["line"], match["text"]) for match in output["matches"]] == matches
    assert (output["count"], output["truncated"], output["pattern"]) == (len(matches), False, parameters["pattern"])


@pytest.mark.parametrize(
    ("parameters", "number"), [({}, 6), ({"glob": "**/*.txt"}, 3), ({"path": "sub"}, 2), ({"path": "empty"}, 1)]
)
def test_files_searched_counts_the_files_read(run: Any, parameters: Any, number: int) -> None:
    """Files that no pattern chose are not counted."""
    assert run("file_search", {"pattern": "x", **parameters}, files=FILES)["files_searched"] == number


@pytest.mark.parametrize(("most", "found", "truncated"), [(1, 1, True), (2, 2, True), (3, 3, False), (4, 3, False)])
def test_max_matches(run: Any, most: int, found: int, truncated: bool) -> None:
    """truncated is true only where there is more."""
    output = run("file_search", {"pattern": "x", "max_matches": most}, files={"a": "x\nx\n", "b": "x\n"})
    assert (output["count"], output["truncated"]) == (found, truncated)


def test_binary_files_are_skipped(run: Any) -> None:
    """A NUL in the first 8 KiB makes a file binary; one behind does not."""
    files = {"start": b"\0x", "edge": b"y" * 8191 + b"\0x", "behind": b"y" * 8192 + b"\0\nx"}
    output = run("file_search", {"pattern": "x"}, files=files)
    assert [(match["path"], match["line"]) for match in output["matches"]] == [("behind", 2)]
    assert output["files_searched"] == 1


def test_bytes_that_are_not_text(run: Any, workspace: GuardedWorkspace) -> None:
    """They count as the replacement character, in lines, in patterns and in names."""
    (workspace.root / os.fsdecode(b"bad-\xff")).write_bytes(b"a\xffb\n")
    for parameters in ({"pattern": "b"}, {"pattern": "\ufffdb"}, {"pattern": "^a.b$", "regex": True}):
        assert run("file_search", parameters)["matches"] == [{"path": "bad-\\xff", "line": 1, "text": "a\ufffdb"}]


def test_long_lines_are_shortened_around_the_match(run: Any) -> None:
    """A line of a megabyte gives back a thousand characters, the match among them."""
    output = run("file_search", {"pattern": "needle"}, files={"a": "x" * 500_000 + "needle" + "y" * 500_000})
    (match,) = output["matches"]
    assert len(match["text"]) == 1000
    assert "xneedley" in match["text"]


def test_a_file_larger_than_a_block(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is searched piece by piece; line numbers go on, and no line is cut."""
    monkeypatch.setattr(file_search, "_BLOCK", 64)
    lines = [f"line {number} {'needle' if number % 10 == 0 else ''}" for number in range(1, 101)]
    output = run("file_search", {"pattern": "needle"}, files={"a": "\n".join(lines)})
    assert [match["line"] for match in output["matches"]] == list(range(10, 101, 10))
    assert [match["text"] for match in output["matches"]] == lines[9::10]
    assert output["files_searched"] == 1


def test_what_is_no_file_is_passed_over(run: Any, workspace: GuardedWorkspace) -> None:
    """Pipes do not block, and links lead nowhere: what they lead to is searched in its own place."""
    os.mkfifo(workspace.root / "pipe")
    (workspace.root / "link").symlink_to("/etc/passwd")
    (workspace.root / "around").symlink_to(".")
    output = run("file_search", {"pattern": "root"}, files={"a": "root\n"})
    assert [match["path"] for match in output["matches"]] == ["a"]


@pytest.mark.parametrize(
    ("path", "message"), [("none", "no such file: none"), ("../x", 'path "../x" leaves the workspace')]
)
def test_what_fails(run: Any, path: str, message: str) -> None:
    """There has to be something to search."""
    with pytest.raises(StepError) as error:
        run("file_search", {"pattern": "x", "path": path})
    assert str(error.value) == message


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"pattern": ""},
        {"pattern": "(", "regex": True},
        {"pattern": "x", "max_matches": 0},
        {"pattern": "x", "glob": ""},
    ],
)
def test_invalid_parameters(run: Any, parameters: Any) -> None:
    """A pattern is needed, and has to be one."""
    with pytest.raises(ValidationError):
        run("file_search", parameters)
