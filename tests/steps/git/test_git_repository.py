"""What holds for every git step: which repository it is, and what it is never."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.steps.sdk import StepError, StepRefused

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("git_status", {}),
    ("git_diff", {}),
    ("git_commit", {"message": "m"}),
    ("git_branch", {"branch": "b"}),
    ("git_merge", {"branch": "b"}),
]


@pytest.mark.parametrize(("step", "parameters"), STEPS)
class TestEveryStep:
    def test_outside_a_repository(self, run, step, parameters):
        """Outside a repository every git step fails."""
        with pytest.raises(StepError, match=r"not in a git repository"):
            run(step, parameters)

    def test_parent_repository(self, run, workspace, step, parameters):
        """A repository above the workspace is not the mission's, and is not found."""
        subprocess.run(["git", "init", "-q"], cwd=workspace.root.parent, check=True)
        with pytest.raises(StepError, match=r"not in a git repository that lies inside the workspace"):
            run(step, parameters)

    def test_parent_repository_by_environment(self, run, context, workspace, tmp_path, step, parameters):
        """Variables that a git hook sets do not lead a step to another repository."""
        other = tmp_path / "other"
        subprocess.run(["git", "init", "-q", str(other)], check=True)
        context.environment.update(GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other))
        context.processes = ProcessRunner(workspace, context.environment, stop=context.stop)
        with pytest.raises(StepError, match=r"not in a git repository"):
            run(step, parameters)

    def test_git_folder_elsewhere(self, run, workspace, tmp_path, step, parameters):
        """A working tree whose git folder lies outside the workspace is refused: a commit would write there."""
        subprocess.run(["git", "init", "-q", f"--separate-git-dir={tmp_path / 'elsewhere'}", "."], cwd=workspace.root)
        with pytest.raises(StepRefused, match=r"git folder of the repository is outside the workspace"):
            run(step, parameters)

    def test_bare(self, run, workspace, step, parameters):
        """A bare repository has nothing to work on."""
        subprocess.run(["git", "init", "-q", "--bare", "."], cwd=workspace.root, check=True)
        with pytest.raises(StepRefused, match=r"bare repository"):
            run(step, parameters)

    def test_inside_the_git_folder(self, run, repo, step, parameters):
        """The git folder is no place to work in."""
        with pytest.raises(StepRefused, match=r"inside a git folder"):
            run(step, {**parameters, "path": ".git"})

    @pytest.mark.parametrize(("path", "message"), [("nowhere", "does not exist"), ("a.txt", "not a folder")])
    def test_no_folder(self, run, repo, step, parameters, path, message):
        """The path is a folder."""
        with pytest.raises(StepError, match=message):
            run(step, {**parameters, "path": path})

    def test_outside_the_workspace(self, run, step, parameters):
        """The path guard holds for the repository too."""
        with pytest.raises(StepRefused, match=r"leaves the workspace"):
            run(step, {**parameters, "path": ".."})

    def test_no_git(self, run, context, workspace, tmp_path, step, parameters):
        """Without git the step is refused, naming the package."""
        context.environment["PATH"] = str(tmp_path)
        with pytest.raises(StepRefused, match=r"install the package git"):
            run(step, parameters)


def test_foreign_owner(run, repo):
    """A repository of another user, as on storage that workers share, is used without any configuration."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    run("git_branch", {"branch": "theirs"})
    for path in [repo.root, *repo.root.rglob("*")]:
        os.chown(path, 65534, 65534)
    refused = subprocess.run(["git", "status"], cwd=repo.root, capture_output=True, check=False)
    assert b"dubious ownership" in refused.stderr
    assert run("git_status", {})["branch"] == "theirs"
    assert not (Path(os.environ["HOME"]) / ".gitconfig").exists()


def test_colon_in_the_workspace(context, run, tmp_path):
    """A workspace named after an Airflow run, with colons, does not find a repository above it either."""
    from rustchain_airflow.safety.paths import GuardedWorkspace

    root = tmp_path / "manual__2026-01-01T00:00:00" / "run:1"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root.parent, check=True)
    context.workspace = GuardedWorkspace(root)
    context.processes = ProcessRunner(context.workspace, context.environment, stop=context.stop)
    with pytest.raises(StepError, match=r"workspace"):
        run("git_commit", {"message": "m"})


def test_global_configuration_is_not_written(run, repo: Any, make_repo: Callable[..., Any]):
    """No step writes configuration: neither the user's nor the repository's."""
    before = (repo.root / ".git" / "config").read_bytes()
    repo.write({"b.txt": "b"})
    run("git_commit", {"message": "m", "author": "Eve", "email": "eve@example.org"})
    run("git_branch", {"branch": "x"})
    assert (repo.root / ".git" / "config").read_bytes() == before
    assert list(Path(os.environ["HOME"]).iterdir()) == []
