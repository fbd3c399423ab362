"""Merge a branch into the current one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rustchain_airflow.steps.git.repository import Repository, fault
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


class GitMergeParameters(Parameters):
    branch: str = Field(min_length=1, description="Branch, tag or commit to merge into the current branch.")
    path: Annotated[WritePath, Alias("repo", "repository")] = Field(
        ".", description="The repository, or a folder in it."
    )
    strategy: Literal["ort", "recursive", "resolve", "ours", "subtree"] | None = Field(
        None, description="How git merges; default git's own."
    )
    no_ff: bool = Field(False, description="Make a merge commit even where a fast-forward would do.")
    message: str | None = Field(None, min_length=1, description="Message of the merge commit; default git's own.")
    on_conflict: Literal["abort", "keep"] = Field(
        "abort", description="abort: fail and leave the repository as it was; keep: leave the conflicts to be resolved."
    )
    author: str | None = Field(None, description='Who merges: "Name", or "Name <email>"; default as git is configured.')
    email: str | None = Field(None, description="The address of who merges.")


class GitMergeOutput(Output):
    main: ClassVar[str | None] = "hash"

    merged: bool = Field(description="Whether the current branch now holds all of the other.")
    fast_forward: bool = Field(description="Whether it did so by moving forward, without a merge commit.")
    hash: str | None = Field(description="The current commit.")
    conflicts: list[str] = Field(description="Files in conflict, relative to the top of the repository.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def git_merge(parameters: GitMergeParameters, context: StepContext) -> GitMergeOutput:
    """Merge a branch into the current one.

    A merge that is not needed, because the branch is contained already, is a success. On conflicts the step fails,
    names the files, and leaves the repository as it was; with ``on_conflict: keep`` it succeeds with
    ``merged: false``, the conflicts stay in the files, and a later ``git_commit`` concludes the merge. Local changes
    that the merge would overwrite make git refuse before anything is touched. A hook that refuses the merge fails
    the step, and the merge is undone.
    """
    repository = Repository(parameters.path, context)
    if repository.is_merging():
        raise StepRefused("a merge is in progress already; commit or abort it first")
    before = repository.head()
    target = repository.commit(parameters.branch)
    # by its name, so that git says it in the message; as an object where the name could be read as an option
    named = target if parameters.branch.startswith("-") else parameters.branch
    options = ["--no-ff"] * parameters.no_ff
    if parameters.strategy:
        options.append(f"--strategy={parameters.strategy}")
    if parameters.message:
        options += ["-m", parameters.message]
    # where it can move forward git commits nothing, and asks for nobody's name
    plain = not parameters.no_ff and (before is None or _contains(repository, target, before))
    needed = before is None or not _contains(repository, before, target)
    identity = {} if plain or not needed else repository.identity(parameters.author, parameters.email)
    result = repository.try_git(
        "merge",
        "--no-edit",
        "--no-autostash",
        *options,
        named,
        environment=identity,
    )
    if result.exit_code == 0:
        after = repository.head()
        return GitMergeOutput(merged=True, fast_forward=after == target and before != after, hash=after, conflicts=[])
    conflicts = repository.unmerged()
    output = GitMergeOutput(merged=False, fast_forward=False, hash=before, conflicts=conflicts)
    if not repository.is_merging() and not conflicts:
        raise StepError(f"git merge failed: {fault(result)}", output=output)
    if conflicts and parameters.on_conflict == "keep":
        return output
    repository.git("merge", "--abort")
    if not conflicts:
        raise StepError(f"git merge failed and was undone: {fault(result)}", output=output)
    raise StepError(
        f'merging "{parameters.branch}" conflicts in {", ".join(conflicts)}; the repository was left as it was',
        output=output,
    )


def _contains(repository: Repository, commit: str, ancestor: str) -> bool:
    return repository.try_git("merge-base", "--is-ancestor", ancestor, commit).exit_code == 0
