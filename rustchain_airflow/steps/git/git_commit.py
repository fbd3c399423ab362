"""Commit changes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rustchain_airflow.steps.git.repository import Repository, fault, fields
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    RunsAs,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    step,
)

_MARKS = (b"<<<<<<< ", b">>>>>>> ")


class GitCommitParameters(Parameters):
    message: str = Field(min_length=1, pattern=r"\S", description="The commit message.")
    path: Annotated[WritePath, Alias("repo", "repository")] = Field(
        ".", description="The repository, or a folder in it."
    )
    files: list[str] | None = Field(
        None, min_length=1, description="Files and folders to commit, relative to path; default all changes."
    )
    author: str | None = Field(
        None, description='Who commits: "Name", or "Name <email>"; default as git is configured.'
    )
    email: str | None = Field(None, description="The address of who commits.")
    allow_empty: bool = Field(False, description="Commit even when nothing has changed.")
    sign_off: bool = Field(False, description="Add a Signed-off-by line.")


class GitCommitOutput(Output):
    main: ClassVar[str | None] = "hash"

    committed: bool = Field(description="False when there was nothing to commit.")
    hash: str | None = Field(description="The current commit; null when there is none yet.")
    branch: str | None = Field(description="The current branch; null when HEAD is detached.")
    files_changed: int = Field(description="Files the commit adds, changes or removes.")
    message: str = Field(description="The message as recorded, hooks included.")


@step(runs_as=RunsAs.COMMAND)
def git_commit(parameters: GitCommitParameters, context: StepContext) -> GitCommitOutput:
    """Commit changes: all of the repository, or the files that are named.

    Without ``files``, everything that changed, appeared or disappeared is committed, ignored files left out. With
    ``files``, only they are; what else was staged stays staged. Nothing to commit is a success with
    ``committed: false``. ``author`` and ``email`` are recorded as author and committer; without them git's
    configuration and environment say who it is, and where they say nothing the step is refused.

    Hooks run as git runs them: one that fails, fails the step with what it said. HEAD is then unchanged, and the
    changes stay staged. During a merge the step concludes it; files that still hold conflict marks are refused.
    """
    repository = Repository(parameters.path, context)
    paths = repository.pathspecs(parameters.files) if parameters.files else []
    _refuse_conflict_marks(repository, context)
    repository.git("add", "--all", "--", *(paths or repository.everything()))
    merging = repository.is_merging()
    only = ["--only", "--", *paths] if paths and not merging else []
    if not (parameters.allow_empty or merging or _is_staged(repository, only[1:])):
        return GitCommitOutput(
            committed=False,
            hash=repository.head(),
            branch=repository.branch(),
            files_changed=0,
            message=parameters.message,
        )
    options = ["--allow-empty"] * parameters.allow_empty + ["--signoff"] * parameters.sign_off
    identity = repository.identity(parameters.author, parameters.email)
    result = repository.try_git(
        "commit", "--quiet", "--file=-", *options, *only, environment=identity, stdin=parameters.message
    )
    if result.exit_code != 0:
        raise StepError(
            f"git commit failed: {fault(result)}",
            output={
                "committed": False,
                "hash": repository.head(),
                "branch": repository.branch(),
                "files_changed": 0,
                "message": parameters.message,
                "stdout": result.stdout,
                "stderr": result.stderr,
            },
        )
    changed = repository.git("log", "-1", "--first-parent", "-m", "--no-renames", "--format=", "--name-only", "-z")
    return GitCommitOutput(
        committed=True,
        hash=repository.head(),
        branch=repository.branch(),
        files_changed=len([path for path in fields(changed) if path]),
        message=repository.git("log", "-1", "--format=%B").rstrip("\n"),
    )


def _is_staged(repository: Repository, pathspecs: list[str]) -> bool:
    result = repository.try_git("diff", "--cached", "--quiet", "--no-ext-diff", *pathspecs)
    if result.exit_code not in (0, 1):
        raise StepError(f"git diff failed: {fault(result)}")
    return result.exit_code == 1


def _refuse_conflict_marks(repository: Repository, context: StepContext) -> None:
    """Adding a file tells git that its conflict is resolved, so look before."""
    for path in repository.unmerged():
        file = str(repository.top / path)
        entry = context.workspace.entry(file)
        if entry is None or entry.is_dir:
            continue
        with context.workspace.open(file) as content:
            found = {mark for line in content for mark in _MARKS if line.startswith(mark)}
        if len(found) == len(_MARKS):
            raise StepRefused(f'"{path}" still holds conflict marks; resolve the conflict before committing')
