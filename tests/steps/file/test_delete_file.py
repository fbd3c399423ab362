"""delete_file: removes a file, a link, or when asked a folder."""

from __future__ import annotations

from typing import Any

import pytest

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError, StepRefused

FILES = {"a": "a", "folder/b": "b", "folder/deep/c": "c"}


@pytest.mark.parametrize(
    ("parameters", "output", "left"),
    [
        ({"path": "a"}, {"path": "a", "existed": True, "deleted": True}, {"folder/b", "folder/deep/c"}),
        ({"path": "folder", "recursive": True}, {"path": "folder", "existed": True, "deleted": True}, {"a"}),
        ({"path": "none"}, {"path": "none", "existed": False, "deleted": False}, set(FILES)),
        ({"path": "no/ne"}, {"path": "no/ne", "existed": False, "deleted": False}, set(FILES)),
        ({"path": "a/none"}, {"path": "a/none", "existed": False, "deleted": False}, set(FILES)),
    ],
)
def test_what_is_deleted(run: Any, files: Any, parameters: Any, output: Any, left: set[str]) -> None:
    """Exactly what is named goes, and a missing file is said to have been missing."""
    assert run("delete_file", parameters, files=FILES) == output
    assert set(files()) == left


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"path": "none", "missing_ok": False}, "no such file: none"),
        ({"path": "folder"}, "folder is a folder; it is only removed with recursive: true"),
    ],
)
def test_what_fails(run: Any, files: Any, parameters: Any, message: str) -> None:
    """A folder needs recursive, and missing_ok: false needs a file."""
    with pytest.raises(StepError) as error:
        run("delete_file", parameters, files=FILES)
    assert str(error.value) == message
    assert files() == FILES


@pytest.mark.parametrize("path", [".", "..", "/", "folder/..", "../workspace"])
def test_the_workspace_stays(run: Any, files: Any, path: str) -> None:
    """Neither the workspace nor anything above it can be deleted."""
    with pytest.raises(StepRefused):
        run("delete_file", {"path": path, "recursive": True}, files=FILES)
    assert files() == FILES


def test_links_are_not_followed(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """A link goes, what it leads to stays: named itself, or met in a folder."""
    (workspace.root / "folder").mkdir()
    (workspace.root / "link").symlink_to("folder")
    (workspace.root / "folder" / "link").symlink_to("../a")
    run("delete_file", {"path": "link", "recursive": True}, files=FILES)
    assert files() == {**FILES, "folder/link": "-> ../a"}
    run("delete_file", {"path": "folder", "recursive": True})
    assert files() == {"a": "a"}
