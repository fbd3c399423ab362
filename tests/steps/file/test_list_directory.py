"""list_directory: what a folder holds, in name order."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError

FILES = {
    "b.txt": "12345", "a.csv": "", "Z.txt": "", ".hidden": "", ".git/config": "",
    "sub/c.csv": "", "sub/deep/d.csv": "", "sub/.x/e.csv": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "paths"),
    [
        ({}, ["Z.txt", "a.csv", "b.txt", "sub"]),
        ({"kind": "file"}, ["Z.txt", "a.csv", "b.txt"]),
        ({"kind": "directory"}, ["sub"]),
        ({"include_hidden": True}, [".git", ".hidden", "Z.txt", "a.csv", "b.txt", "sub"]),
        ({"recursive": True}, ["Z.txt", "a.csv", "b.txt", "sub", "sub/c.csv", "sub/deep", "sub/deep/d.csv"]),
        ({"path": "sub"}, ["sub/c.csv", "sub/deep"]),
        ({"path": "./sub/", "recursive": True, "kind": "file"}, ["sub/c.csv", "sub/deep/d.csv"]),
        ({"path": "sub", "include_hidden": True, "recursive": True, "kind": "file"},
         ["sub/.x/e.csv", "sub/c.csv", "sub/deep/d.csv"]),
        ({"pattern": "*.txt"}, ["Z.txt", "b.txt"]),
        ({"pattern": "[ab].*"}, ["a.csv", "b.txt"]),
        ({"pattern": "?.csv", "recursive": True}, ["a.csv", "sub/c.csv", "sub/deep/d.csv"]),
        ({"pattern": "**/*.csv", "recursive": True}, ["a.csv", "sub/c.csv", "sub/deep/d.csv"]),
        ({"pattern": "sub/*.csv", "recursive": True}, ["sub/c.csv"]),
        ({"path": "sub", "pattern": "deep/*", "recursive": True}, ["sub/deep/d.csv"]),
        ({"pattern": "none*"}, []),
    ],
)  # fmt: skip
def test_what_is_listed(run: Any, parameters: Any, paths: list[str]) -> None:
    """Paths are relative to the workspace; patterns speak of names, or with a slash of paths below the folder."""
    output = run("list_directory", parameters, files=FILES)
    assert [entry["path"] for entry in output["entries"]] == paths
    assert [entry["name"] for entry in output["entries"]] == [path.rpartition("/")[2] for path in paths]
    assert output["count"] == len(paths)
    assert output["path"] == os.path.normpath(parameters.get("path", "."))


def test_what_is_said_of_an_entry(run: Any, workspace: GuardedWorkspace) -> None:
    """Sizes in bytes, times in ISO 8601 UTC."""
    (workspace.root / "sub").mkdir()
    (workspace.root / "a").write_text("12345")
    moment = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC).timestamp()
    for name in ("a", "sub"):
        os.utime(workspace.root / name, (moment, moment))
    assert run("list_directory", {})["entries"] == [
        {"name": "a", "path": "a", "is_dir": False, "size": 5, "modified": "2024-02-29T12:30:15.250Z"},
        {"name": "sub", "path": "sub", "is_dir": True, "size": 0, "modified": "2024-02-29T12:30:15.250Z"},
    ]


def test_links(run: Any, workspace: GuardedWorkspace) -> None:
    """A link is what it leads to inside, only a link otherwise, and never entered."""
    for name, target in {"to-sub": "sub", "to-file": "b.txt", "out": "/etc", "gone": "none", "loop": "loop"}.items():
        (workspace.root / name).symlink_to(target)
    entries = run("list_directory", {"recursive": True}, files={"b.txt": "12345", "sub/x": ""})["entries"]
    assert [(entry["path"], entry["is_dir"]) for entry in entries] == [
        ("b.txt", False), ("gone", False), ("loop", False), ("out", False), ("sub", True), ("sub/x", False),
        ("to-file", False), ("to-sub", True),
    ]  # fmt: skip
    assert next(entry["size"] for entry in entries if entry["path"] == "to-file") == 5


def test_names_of_any_kind(run: Any, workspace: GuardedWorkspace) -> None:
    """Names are text that JSON can hold, whatever bytes they are made of."""
    for name in (b"new\nline", "ü☃".encode(), b"bad-\xff"):
        (workspace.root / os.fsdecode(name)).touch()
    assert [entry["name"] for entry in run("list_directory", {})["entries"]] == ["bad-\\xff", "new\nline", "ü☃"]


def test_an_empty_folder(run: Any) -> None:
    """Nothing is a list too."""
    assert run("list_directory", {}) == {"path": ".", "entries": [], "count": 0}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none", "no such file: none"),
        ("a", "a is not a folder, or leads through a file"),
        ("..", 'path ".." leaves the workspace'),
    ],
)
@pytest.mark.parametrize("recursive", [True, False])
def test_what_fails(run: Any, path: str, message: str, recursive: bool) -> None:
    """Only a folder can be listed."""
    with pytest.raises(StepError) as error:
        run("list_directory", {"path": path, "recursive": recursive}, files={"a": ""})
    assert str(error.value) == message


@pytest.mark.parametrize("parameters", [{"pattern": "a/*"}, {"pattern": "[z-a]"}, {"kind": "link"}])
def test_invalid_parameters(run: Any, parameters: Any) -> None:
    """A pattern for deeper paths needs recursive, and has to be one."""
    with pytest.raises(ValidationError):
        run("list_directory", parameters)
