"""Create, switch, delete or list branches."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.git.repository import Repository, check_branch_name, fault
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    RunsAs,
    StepContext,
    StepError,
    WritePath,
    step,
)

Action = Literal["create", "switch", "delete", "list"]


class GitBranchParameters(Parameters):
    branch: Annotated[str | None, Alias("name")] = Field(
        None, min_length=1, description="The branch; needed for all but list."
    )
    action: Action = Field("create", description="create (and switch to it), switch, delete, or list.")
    path: Annotated[WritePath, Alias("repo", "repository")] = Field(
        ".", description="The repository, or a folder in it."
    )
    start: Annotated[str | None, Alias("from")] = Field(
        None, min_length=1, description="Branch, tag or commit a new branch starts from; default the current commit."
    )
    exist_ok: bool = Field(True, description="Creating a branch that exists is fine; it is switched to as it is.")
    switch: bool = Field(True, description="Switch to a branch that is created; false leaves the working tree alone.")

    @model_validator(mode="after")
    def _needs_a_branch(self) -> GitBranchParameters:
        if self.branch is None and self.action != "list":
            raise PydanticCustomError("presence", "give branch: {action} needs one", {"action": self.action})
        return self


class GitBranchOutput(Output):
    main: ClassVar[str | None] = "current"

    branch: str | None = Field(description="The branch the step was about; null for list.")
    action: Action = Field(description="What was asked.")
    created: bool = Field(description="Whether a branch was created.")
    current: str | None = Field(description="The branch now checked out; null when HEAD is detached.")
    branches: list[str] = Field(
        description="All local branches, in name order; one without a commit is not among them."
    )


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def git_branch(parameters: GitBranchParameters, context: StepContext) -> GitBranchOutput:
    """Create, switch, delete or list branches.

    ``create`` makes a branch and switches to it; uncommitted changes come along, and where they would be lost git
    refuses and nothing is changed. Before the first commit it renames the branch to be. ``switch`` takes a local
    branch, or one that exactly one remote has. ``delete`` refuses the current branch and one with commits that are
    in no other place.
    """
    repository = Repository(parameters.path, context)
    branch, created = parameters.branch, False
    if branch is not None and parameters.action != "list":
        check_branch_name(repository, branch)
        match parameters.action:
            case "create":
                created = _create(repository, branch, parameters)
            case "switch":
                _switch(repository, branch)
            case "delete":
                _delete(repository, branch)
    return GitBranchOutput(
        branch=branch if parameters.action != "list" else None,
        action=parameters.action,
        created=created,
        current=repository.branch(),
        branches=repository.branches(),
    )


def _create(repository: Repository, branch: str, parameters: GitBranchParameters) -> bool:
    unborn = repository.head() is None
    if repository.has_reference(f"refs/heads/{branch}") or (unborn and repository.branch() == branch):
        if not parameters.exist_ok:
            raise StepError(f'branch "{branch}" exists already')
        if parameters.switch:
            _switch(repository, branch)
        return False
    start = [repository.commit(parameters.start)] if parameters.start else []
    if parameters.switch:
        repository.git("switch", "--quiet", "--no-track", "--create", branch, *start)
    elif unborn and not start:
        raise StepError("the repository has no commit yet, so a branch can only be created by switching to it")
    else:
        repository.git("branch", "--no-track", "--", branch, *(start or ["HEAD"]))
    return True


def _switch(repository: Repository, branch: str) -> None:
    if repository.branch() == branch:
        return
    result = repository.try_git("switch", "--quiet", "--guess", branch)
    if result.exit_code != 0:
        there = ", ".join(repository.branches()) or "none"
        known = repository.has_reference(f"refs/heads/{branch}")
        raise StepError(f"git switch failed: {fault(result)}" + ("" if known else f" (branches: {there})"))


def _delete(repository: Repository, branch: str) -> None:
    if not repository.has_reference(f"refs/heads/{branch}"):
        there = ", ".join(repository.branches()) or "none"
        raise StepError(f'there is no branch "{branch}" (branches: {there})')
    if repository.branch() == branch:
        raise StepError(f'branch "{branch}" is checked out; switch to another before deleting it')
    repository.git("branch", "--quiet", "--delete", "--", branch)
