"""List a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.file.glob import Glob, compile_glob
from rustchain_airflow.steps.sdk import (
    FileEntry,
    Output,
    Parameters,
    ReadPath,
    StepContext,
    StepError,
    Workspace,
    step,
)


class ListDirectoryParameters(Parameters):
    path: ReadPath = Field(".", description="The folder to list.")
    pattern: Glob | None = Field(
        None,
        description="Names to list, such as `*.csv`; with a slash, paths below the folder, such as `reports/**/*.csv`.",
    )
    recursive: bool = Field(False, description="List what is in its folders too.")
    include_hidden: bool = Field(False, description="List names that start with a dot, and what is below them.")
    kind: Literal["any", "file", "directory"] = Field("any", description="What to list.")

    @model_validator(mode="after")
    def _reaches(self) -> ListDirectoryParameters:
        if self.pattern and "/" in self.pattern and not self.recursive:
            raise PydanticCustomError("presence", "a pattern with a slash needs recursive: true")
        return self


class Listed(BaseModel):
    """One entry of the folder."""

    name: str
    path: str = Field(description="Relative to the workspace, so that other steps may take it.")
    is_dir: bool
    size: int = Field(description="In bytes; 0 for a folder.")
    modified: str = Field(description="ISO 8601, UTC.")


class ListDirectoryOutput(Output):
    main: ClassVar[str | None] = "entries"

    path: str = Field(description="The folder, relative to the workspace.")
    entries: list[Listed] = Field(description="In name order; each folder comes before what it holds.")
    count: int


# Isolated: a folder may hold any number of files.
@step(idempotent=True)
def list_directory(parameters: ListDirectoryParameters, context: StepContext) -> ListDirectoryOutput:
    """List the files and folders of a folder, in name order.

    Every entry's `path` is relative to the workspace, whatever folder is listed. A link is listed as what it leads
    to, where that is inside; links are never entered. A `path` that is not a folder fails the step.
    """
    workspace = context.workspace
    path = parameters.path
    if parameters.recursive:
        found = workspace.walk(path, hidden=parameters.include_hidden)
    else:
        found = (entry for entry in workspace.scan(path) if parameters.include_hidden or entry.name[0] != ".")
    matches = compile_glob(parameters.pattern or "*").fullmatch
    by_path = "/" in (parameters.pattern or "")
    entries = []
    prefix = None
    for entry in found:
        if prefix is None:
            # The first entry lies in the listed folder itself.
            prefix = len(entry.path) - len(entry.name)
        if not matches(entry.path[prefix:] if by_path else entry.name):
            continue
        listed = _listed(entry, workspace)
        if parameters.kind == "any" or listed.is_dir == (parameters.kind == "directory"):
            entries.append(listed)
    return ListDirectoryOutput(path=workspace.relative(path), entries=entries, count=len(entries))


def _listed(entry: FileEntry, workspace: Workspace) -> Listed:
    path = workspace.relative(entry.path)
    if entry.is_link:
        try:
            entry = workspace.entry(entry.path) or entry
        except StepError:
            # It leads outside or in a circle: then it is only a link.
            pass
    return Listed(
        name=path.rpartition("/")[2],
        path=path,
        is_dir=entry.is_dir,
        size=0 if entry.is_dir else entry.size,
        modified=datetime.fromtimestamp(entry.modified, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
