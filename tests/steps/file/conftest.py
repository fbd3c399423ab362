"""What the tests of the file steps look at: the files a workspace holds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rustchain_airflow.safety.paths import GuardedWorkspace

Files = Callable[[], dict[str, str]]


@pytest.fixture
def files(workspace: GuardedWorkspace) -> Files:
    """``files()`` -> every file of the workspace and its content, hidden ones included; a link as ``-> target``."""

    def read_all() -> dict[str, str]:
        found = {}
        for folder, folders, names in os.walk(workspace.root):
            for name in [*names, *folders]:
                path = Path(folder, name)
                if path.is_symlink():
                    found[str(path.relative_to(workspace.root))] = f"-> {path.readlink()}"
                elif path.is_file():
                    found[str(path.relative_to(workspace.root))] = path.read_bytes().decode("utf-8", "replace")
        return found

    return read_all


@pytest.fixture
def small_disk(workspace: GuardedWorkspace) -> Iterator[Path]:
    """``disk/`` in the workspace: a device of its own, of 1 MiB. Skips where mounting is not permitted."""
    folder = workspace.root / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
