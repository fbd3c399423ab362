"""Report the state of a git working tree."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rustchain_airflow.steps.git.repository import Repository, fields
from rustchain_airflow.steps.sdk import Alias, Output, Parameters, ReadPath, RunsAs, StepContext, step


class GitStatusParameters(Parameters):
    path: Annotated[ReadPath, Alias("repo", "repository")] = Field(
        ".", description="The repository, or a folder in it; the whole repository is reported."
    )


class GitStatusOutput(Output):
    main: ClassVar[str | None] = "clean"

    branch: str | None = Field(description="The current branch, also before its first commit; null when detached.")
    clean: bool = Field(description="Whether nothing is staged, changed, untracked or in conflict.")
    ahead: int | None = Field(description="Commits the upstream branch lacks; null without an upstream branch.")
    behind: int | None = Field(description="Commits the upstream branch has more; null without an upstream branch.")
    staged: list[str] = Field(description="Files the next commit changes, adds or removes.")
    modified: list[str] = Field(description="Files changed since they were staged or committed.")
    untracked: list[str] = Field(description="Files git does not know, and does not ignore.")
    deleted: list[str] = Field(description="Files removed from the working tree, or staged to be removed.")
    conflicted: list[str] = Field(description="Files with unresolved conflicts.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def git_status(parameters: GitStatusParameters, context: StepContext) -> GitStatusOutput:
    """Report the state of a git working tree.

    Paths are relative to the top of the repository, in git's order; bytes of a name that are not UTF-8 are shown
    as replacement marks. A file may be in several lists: staged and changed again since, staged as removed. Works in
    worktrees, in folders below the top, and before the first commit. Nothing is written, not even the index.
    """
    repository = Repository(parameters.path, context)
    listing = repository.git(
        "--no-optional-locks",
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=all",
        "--ignored=no",
        "--find-renames",
        settings={"core.fsmonitor": "false", "status.aheadBehind": "true"},
    )
    return _read(listing)


def _read(listing: str) -> GitStatusOutput:
    """Porcelain v2: https://git-scm.com/docs/git-status#_porcelain_format_version_2."""
    branch: str | None = None
    ahead: int | None = None
    behind: int | None = None
    staged: list[str] = []
    modified: list[str] = []
    untracked: list[str] = []
    deleted: list[str] = []
    conflicted: list[str] = []
    records = iter(fields(listing))
    for record in records:
        kind, _, rest = record.partition(" ")
        match kind:
            case "#":
                header, _, value = rest.partition(" ")
                if header == "branch.head" and value != "(detached)":
                    branch = value
                elif header == "branch.ab":
                    more, less = value.split(" ")
                    ahead, behind = int(more), -int(less)
            case "1" | "2":
                blanks = 7 if kind == "1" else 8
                path = rest.split(" ", blanks)[blanks]
                in_index, in_tree = rest[0], rest[1]
                if kind == "2":
                    next(records)  # the name before the rename
                if in_index != ".":
                    staged.append(path)
                if in_tree not in ".D":
                    modified.append(path)
                if "D" in (in_index, in_tree):
                    deleted.append(path)
            case "u":
                conflicted.append(rest.split(" ", 9)[9])
            case "?":
                untracked.append(rest)
    return GitStatusOutput(
        branch=branch,
        clean=not (staged or modified or untracked or deleted or conflicted),
        ahead=ahead,
        behind=behind,
        staged=staged,
        modified=modified,
        untracked=untracked,
        deleted=deleted,
        conflicted=conflicted,
    )
