"""move_file: a rename, or across devices a verified copy and a removal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError

FILES = {"a": "a", "b": "bb", "tree/x": "xxx", "tree/sub/y": "yyyy", "full/z": "z"}


@pytest.mark.parametrize(
    ("source", "destination", "output", "moved"),
    [
        ("a", "c", {"source": "a", "destination": "c", "size": 1}, {"a": "c"}),
        ("a", "new/c", {"source": "a", "destination": "new/c", "size": 1}, {"a": "new/c"}),
        ("a", "full/", {"source": "a", "destination": "full/a", "size": 1}, {"a": "full/a"}),
        ("a", "b", {"source": "a", "destination": "b", "size": 1}, {"a": "b"}),
        ("a", "a", {"source": "a", "destination": "a", "size": 1}, {}),
        ("tree", "t", {"source": "tree", "destination": "t", "size": 7}, {"tree/x": "t/x", "tree/sub/y": "t/sub/y"}),
        ("tree/", "t", {"source": "tree", "destination": "t", "size": 7}, {"tree/x": "t/x", "tree/sub/y": "t/sub/y"}),
    ],
)
def test_what_moves_where(run: Any, files: Any, source: str, destination: str, output: Any, moved: Any) -> None:
    """The source is gone, the destination has its content, and the rest is as it was."""
    assert run("move_file", {"source": source, "destination": destination}, files=FILES) == output
    left = {name: text for name, text in FILES.items() if name not in moved}
    assert files() == {**left, **{moved[name]: FILES[name] for name in moved}}


@pytest.mark.parametrize(
    ("source", "destination", "overwrite", "message"),
    [
        ("none", "c", True, "no such file: none"),
        ("a", "b", False, "b exists already"),
        ("a", "tree", True, "tree is a folder and a is a file"),
        ("tree", "a", True, "a is a file and tree is a folder"),
        ("tree", "full", True, "folder is not empty: full"),
        ("tree", "tree/below", True, "tree cannot be moved into itself"),
        (".", "c", True, 'path "." is the workspace itself, or a folder the policy lists'),
        ("a", "../c", True, 'path "../c" leaves the workspace'),
        ("../c", "a", True, 'path "../c" leaves the workspace'),
    ],
)
def test_moves_that_fail_change_nothing(
    run: Any, files: Any, source: str, destination: str, overwrite: bool, message: str
) -> None:
    """No file is lost by a move that cannot be done."""
    with pytest.raises(StepError) as error:
        run("move_file", {"source": source, "destination": destination, "overwrite": overwrite}, files=FILES)
    assert str(error.value) == message
    assert files() == FILES


def test_a_link_moves_as_a_link(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """What it leads to stays where it is."""
    (workspace.root / "link").symlink_to("a")
    run("move_file", {"source": "link", "destination": "moved"}, files={"a": "a"})
    assert files() == {"a": "a", "moved": "-> a"}


def test_across_devices(run: Any, workspace: GuardedWorkspace, files: Any, small_disk: Path) -> None:
    """Files, folders and links go to another device with their modes, and the source is gone."""
    (workspace.root / "link").symlink_to("/" + str(workspace.root / "disk")[1:])
    for name in ("a", "tree", "link"):
        run("move_file", {"source": name, "destination": f"disk/{name}"}, files=FILES if name == "a" else None)
    assert files() == {
        "b": "bb", "full/z": "z",
        "disk/a": "a", "disk/tree/x": "xxx", "disk/tree/sub/y": "yyyy", "disk/link": f"-> {small_disk}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files_there", "source", "message"),
    [
        ({"disk/tree/z": "z"}, "tree", "folder is not empty: disk/tree"),
        ({"disk/filler": "x" * 1_000_000}, "big", "no space left on the device for disk/"),
    ],
)
def test_across_devices_the_source_stays_until_the_copy_is_whole(
    run: Any, files: Any, small_disk: Path, files_there: dict[str, str], source: str, message: str
) -> None:
    """A move that fails half way leaves both sides as they were."""
    before = {**FILES, "big": "x" * 200_000, **files_there}
    with pytest.raises(StepError) as error:
        run("move_file", {"source": source, "destination": f"disk/{source}"}, files=before)
    assert str(error.value).startswith(message)
    assert files() == before
    assert not [name for name in os.listdir(small_disk) if name.startswith(".")]
