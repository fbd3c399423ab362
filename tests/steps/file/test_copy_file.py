"""copy_file: a verified copy of a file or folder, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError, StepRefused

TREE = {"tree/a.txt": "a", "tree/sub/b ☃.txt": "bb", "tree/.hidden": "h"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"Hello", b"\x00\xff" * 2_000_000])
@pytest.mark.parametrize("verify", [True, False])
def test_a_file(run: Any, workspace: GuardedWorkspace, content: bytes, verify: bool) -> None:
    """Content and mode are those of the source, which stays."""
    (workspace.root / "a").write_bytes(content)
    (workspace.root / "a").chmod(0o751)
    output = run("copy_file", {"source": "a", "destination": "new/b", "verify": verify})
    assert output == {
        "source": "a", "destination": "new/b", "size": len(content), "files": 1, "sha256": digest(content),
    }  # fmt: skip
    for name in ("a", "new/b"):
        assert (workspace.root / name).read_bytes() == content
        assert (workspace.root / name).stat().st_mode & 0o777 == 0o751


@pytest.mark.parametrize(
    ("destination", "place"), [("b", "b"), ("folder/", "folder/a"), ("new/", "new/a"), ("./", "a2")]
)
def test_where_a_file_goes(run: Any, files: Any, destination: str, place: str) -> None:
    """A slash at the end means the folder to put it in, whether it exists or not."""
    source = "in/a2" if destination == "./" else "a"
    output = run("copy_file", {"source": source, "destination": destination}, files={source: "x", "folder/x": ""})
    assert output["destination"] == place
    assert files() == {source: "x", "folder/x": "", place: "x"}


def test_an_existing_file_is_replaced(run: Any, files: Any) -> None:
    """overwrite is the default, as running twice has to be fine."""
    for _ in range(2):
        run("copy_file", {"source": "a", "destination": "b"}, files={"a": "new", "b": "old"})
        assert files() == {"a": "new", "b": "new"}


def test_a_folder(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """All it holds is copied with its modes, and the digest is that of what sha256sum prints for it."""
    (workspace.root / "tree" / "sub").mkdir(parents=True)
    (workspace.root / "tree" / "sub").chmod(0o750)
    output = run("copy_file", {"source": "tree", "destination": "out/copy"}, files=TREE)
    assert files() == {**TREE, **{name.replace("tree/", "out/copy/"): text for name, text in TREE.items()}}
    assert (workspace.root / "out/copy/sub").stat().st_mode & 0o777 == 0o750
    printed = subprocess.run(
        ["sha256sum", ".hidden", "a.txt", "sub/b ☃.txt"], cwd=workspace.root / "tree", capture_output=True, check=True
    ).stdout
    assert (output["size"], output["files"], output["sha256"]) == (4, 3, digest(printed))


def test_a_folder_is_merged_into_a_folder(run: Any, files: Any) -> None:
    """Files of the same name are replaced, others stay: nothing that was not named is lost."""
    before = {"out/a.txt": "old", "out/sub/other": "other"}
    for _ in range(2):
        run("copy_file", {"source": "tree", "destination": "out"}, files={**TREE, **before})
        assert files() == {**TREE, **before, **{n.replace("tree/", "out/"): text for n, text in TREE.items()}}


def test_links_below_a_folder_stay_links(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """A link that leads inside is copied as it is, to files, folders and nothing."""
    (workspace.root / "tree").mkdir()
    for name, target in {"file": "a.txt", "folder": "sub", "up": "..", "nothing": "none"}.items():
        (workspace.root / "tree" / name).symlink_to(target)
    run("copy_file", {"source": "tree", "destination": "copy"}, files=TREE)
    assert {name: text for name, text in files().items() if text.startswith("->") and name.startswith("copy")} == {
        "copy/file": "-> a.txt", "copy/folder": "-> sub", "copy/up": "-> ..", "copy/nothing": "-> none",
    }  # fmt: skip


def test_links_that_lead_outside_are_refused(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """Nothing of the folder is copied then."""
    (workspace.root / "tree").mkdir()
    (workspace.root / "tree" / "z").symlink_to("/etc")
    with pytest.raises(StepRefused, match=r"leads outside the workspace"):
        run("copy_file", {"source": "tree", "destination": "copy"}, files=TREE)
    assert files() == {**TREE, "tree/z": "-> /etc"}
    assert sorted(os.listdir(workspace.root)) == ["tree"]


def test_a_link_is_copied_as_what_it_leads_to(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """Source and destination are followed, as by every step that reads or writes."""
    (workspace.root / "from").symlink_to("a")
    (workspace.root / "to").symlink_to("b")
    run("copy_file", {"source": "from", "destination": "to"}, files={"a": "new", "b": "old"})
    assert files() == {"a": "new", "b": "new", "from": "-> a", "to": "-> b"}


@pytest.mark.parametrize(
    ("source", "destination", "overwrite", "message"),
    [
        ("none", "b", True, "no such file: none"),
        ("a", "b", False, "b exists already"),
        ("tree", "full", False, "full exists already"),
        ("a", "full", True, 'full is a folder; write "full/" to copy the file into it'),
        ("tree", "a", True, "a is a file and tree is a folder"),
        ("a", "b/below", True, "b/below is not a folder, or leads through a file"),
        ("a", "a", True, "source and destination are the same: a"),
        ("a", "./tree/../a", True, "source and destination are the same: a"),
        ("tree", "tree/sub/copy", True, "tree cannot be copied into itself"),
        (".", "copy", True, ". cannot be copied into itself"),
        ("a", "../b", True, 'path "../b" leaves the workspace'),
        ("../a", "b", True, 'path "../a" leaves the workspace'),
    ],
)
def test_copies_that_fail_change_nothing(
    run: Any, files: Any, source: str, destination: str, overwrite: bool, message: str
) -> None:
    """One line that says the fault, and every file as it was."""
    before = {**TREE, "a": "a", "b": "b", "full/x": "x"}
    with pytest.raises(StepError) as error:
        run("copy_file", {"source": source, "destination": destination, "overwrite": overwrite}, files=before)
    assert str(error.value) == message
    assert files() == before


def test_a_pipe_in_a_folder_fails(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """What is neither file, folder nor link cannot be copied, and does not block."""
    (workspace.root / "tree").mkdir()
    os.mkfifo(workspace.root / "tree" / "pipe")
    with pytest.raises(StepError, match=r"^tree/pipe is a pipe, not a file$"):
        run("copy_file", {"source": "tree", "destination": "copy"}, files=TREE)
    assert files() == TREE


def test_a_full_disk_leaves_nothing(run: Any, small_disk: Path) -> None:
    """Neither a part of the copy nor the folder it was built in stays."""
    big = {"tree/big": "x" * 800_000, "tree/more": "x" * 800_000}
    with pytest.raises(StepError, match=r"^no space left on the device"):
        run("copy_file", {"source": "tree", "destination": "disk/copy"}, files=big)
    assert os.listdir(small_disk) == []


def test_a_copy_to_another_device(run: Any, small_disk: Path) -> None:
    """Devices do not matter."""
    run("copy_file", {"source": "tree", "destination": "disk/copy"}, files=TREE)
    assert (small_disk / "copy" / "sub" / "b ☃.txt").read_text() == "bb"


def test_a_copy_that_differs_is_not_put_in_place(
    run: Any, workspace: GuardedWorkspace, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verify reads the copy again: a file that changes behind our back is found."""
    put_in_place = GuardedWorkspace.set_mode

    def damage(self: GuardedWorkspace, path: str, mode: int) -> None:
        put_in_place(self, path, mode)
        (self.root / path / "a.txt").write_text("damaged")

    monkeypatch.setattr(GuardedWorkspace, "set_mode", damage)
    files_before = {"tree/a.txt": "a"}
    with pytest.raises(StepError, match=r"^the copy of tree differs from it; it was not put in place$"):
        run("copy_file", {"source": "tree", "destination": "copy"}, files=files_before)
    assert files() == files_before
