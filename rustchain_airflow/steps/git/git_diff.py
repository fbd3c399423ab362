"""Show changes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.git.repository import Repository, fault, fields
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    ReadPath,
    RunsAs,
    StepContext,
    StepError,
    step,
)

Status = Literal["added", "copied", "deleted", "modified", "renamed", "type_changed", "unmerged"]

_STATUS: dict[str, Status] = {
    "A": "added",
    "C": "copied",
    "D": "deleted",
    "M": "modified",
    "R": "renamed",
    "T": "type_changed",
    "U": "unmerged",
}

_SAME_EVERYWHERE = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--find-renames",
    "--submodule=short",
)
"""What a user's configuration could change otherwise."""


class GitDiffParameters(Parameters):
    path: Annotated[ReadPath, Alias("repo", "repository")] = Field(
        ".", description="The repository, or a folder in it; the whole repository is compared."
    )
    old: Annotated[str | None, Alias("from")] = Field(
        None, min_length=1, description="Branch, tag, commit or tree to compare from; default the index, or HEAD."
    )
    new: Annotated[str | None, Alias("to")] = Field(
        None, min_length=1, description="Branch, tag, commit or tree to compare to; default the working tree."
    )
    staged: bool = Field(False, description="Compare to what is staged, instead of the working tree.")
    paths: list[str] | None = Field(
        None, min_length=1, description="Files and folders to compare, relative to path; default all."
    )
    context: int = Field(3, ge=0, le=1_000_000, description="Unchanged lines around each change.")
    max_bytes: int = Field(1024 * 1024, ge=0, description="Bytes of text to give back; what is beyond is left out.")

    @model_validator(mode="after")
    def _staged_or_to(self) -> GitDiffParameters:
        if self.staged and self.new is not None:
            raise PydanticCustomError("presence", "give only one of staged and to")
        return self


class ChangedFile(BaseModel):
    """One file of a comparison."""

    path: str = Field(description="Relative to the top of the repository.")
    added: int | None = Field(description="Lines added; null for a binary file.")
    removed: int | None = Field(description="Lines removed; null for a binary file.")
    status: Status = Field(description="added, copied, deleted, modified, renamed, type_changed or unmerged.")
    old_path: str | None = Field(None, description="The name before, of a renamed or copied file.")


class GitDiffOutput(Output):
    main: ClassVar[str | None] = "diff"

    diff: str = Field(description="The changes as a patch; bytes that are not UTF-8 are replaced.")
    files: list[ChangedFile] = Field(description="Every changed file, also where the patch was too long.")
    has_changes: bool = Field(description="Whether there is any.")
    truncated: bool = Field(description="Whether the patch was longer than max_bytes.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def git_diff(parameters: GitDiffParameters, context: StepContext) -> GitDiffOutput:
    """Show changes as a patch, and file by file.

    Without revisions: what is changed but not staged; with ``staged``, what the next commit holds. With ``from``:
    what changed since; with ``to`` as well, between the two; with ``to`` alone, from HEAD to it. Untracked files are
    not part of it. The result does not depend on the user's git configuration: external diff programs, text
    conversion, colours and prefixes are off.
    """
    repository = Repository(parameters.path, context)
    paths = repository.pathspecs(parameters.paths) if parameters.paths else repository.everything()
    compared = ["--cached"] * parameters.staged
    if parameters.old or parameters.new:
        compared.append(repository.tree(parameters.old or "HEAD"))
    if parameters.new:
        compared.append(repository.tree(parameters.new))
    listing = repository.git(
        "diff", *_SAME_EVERYWHERE, "--raw", "--numstat", "-z", "--abbrev=40", *compared, "--", *paths
    )
    files = _read(listing)
    patch = repository.try_git(
        "--no-optional-locks",
        "diff",
        *_SAME_EVERYWHERE,
        f"--unified={parameters.context}",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        *compared,
        "--",
        *paths,
        settings={"core.quotePath": "true"},
        max_output_bytes=parameters.max_bytes,
    )
    if patch.exit_code != 0:
        raise StepError(f"git diff failed: {fault(patch)}")
    return GitDiffOutput(diff=patch.stdout, files=files, has_changes=bool(files), truncated=patch.truncated)


def _read(listing: str) -> list[ChangedFile]:
    """Records of ``--raw`` start with a colon, those of ``--numstat`` with a count; a path is a record of its own."""
    found: dict[str, dict[str, Any]] = {}
    records = iter(fields(listing))
    for record in records:
        if record.startswith(":"):
            letter = record.rsplit(" ", 1)[1][0]
            path = next(records)
            old_path = None
            if letter in "RC":
                old_path, path = path, next(records)
            status = _STATUS.get(letter)
            if status is None:
                raise StepError(f"git reports a change of unknown kind {letter} for {path}")
            # a file in conflict comes twice: as unmerged, and with its changes
            if path not in found:
                found[path] = {"path": path, "added": 0, "removed": 0, "status": status, "old_path": old_path}
        else:
            added, removed, path = record.split("\t", 2)
            if not path:
                next(records)
                path = next(records)
            counts = {"added": _count(added), "removed": _count(removed)}
            if path in found and (counts["added"] or counts["removed"] or counts["added"] is None):
                found[path].update(counts)
    return [ChangedFile(**file) for file in found.values()]


def _count(text: str) -> int | None:
    return None if text == "-" else int(text)
