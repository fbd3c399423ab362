"""Real repositories in the workspace, apart from the configuration of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rustchain_airflow.safety.paths import GuardedWorkspace


class Repo:
    """A repository made with the git binary, by somebody who is not the step under test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str, check: bool = True) -> str:
        identity = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "Setup"), ("EMAIL", "setup@example.org"))
        }
        result = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **identity, "LC_ALL": "C"},
            capture_output=True,
            check=False,
        )
        said = result.stdout.decode("utf-8", "replace")
        if check and result.returncode != 0:
            raise AssertionError(f"git {arguments}: {said}{result.stderr.decode('utf-8', 'replace')}")
        return said

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: dict[str, str | bytes], message: str = "setup") -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def hook(self, name: str, script: str) -> None:
        target = self.root / ".git" / "hooks" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(f"#!/bin/sh\n{script}\n")
        target.chmod(0o755)

    def identify(self) -> None:
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")

    def state(self) -> dict[str, object]:
        """All a failed step must not change: commits, index, working tree, and what git is in the middle of."""
        return {
            "head": self.git("rev-parse", "--verify", "--quiet", "HEAD", check=False),
            "symbolic": self.git("symbolic-ref", "-q", "HEAD", check=False),
            "refs": self.git("for-each-ref"),
            "index": self.git("ls-files", "--stage"),
            "status": self.git("status", "--porcelain=v2"),
            "merging": (self.root / ".git" / "MERGE_HEAD").exists(),
            "files": {
                str(path.relative_to(self.root)): path.read_bytes()
                for path in sorted(self.root.rglob("*"))
                if path.is_file() and ".git" not in path.relative_to(self.root).parts
            },
        }


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No identity and no configuration but the repository's own; runs before the context is made."""
    for name in list(os.environ):
        if name.startswith("GIT_") or name == "EMAIL":
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")


@pytest.fixture
def make_repo(workspace: GuardedWorkspace) -> Callable[..., Repo]:
    """``make_repo("sub", files={…})``: a repository on branch main, with a commit where files are given."""

    def make(path: str = ".", *, files: dict[str, str | bytes] | None = None) -> Repo:
        root = workspace.root / path
        root.mkdir(parents=True, exist_ok=True)
        made = Repo(root)
        made.git("init", "--quiet", "--initial-branch=main")
        if files:
            made.commit(files)
        return made

    return make


@pytest.fixture
def repo(make_repo: Callable[..., Repo]) -> Repo:
    """A repository at the workspace's root, on main, with a.txt committed and an identity of its own."""
    made = make_repo(files={"a.txt": "one\n"})
    made.identify()
    return made
