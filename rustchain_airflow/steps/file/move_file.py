"""Move or rename a file or a folder."""

from __future__ import annotations

import errno
from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.file.replica import copy, destination_for
from rustchain_airflow.steps.sdk import Output, Parameters, StepContext, StepError, Workspace, WritePath, step


class MoveFileParameters(Parameters):
    source: WritePath = Field(description="The file or folder to move.")
    destination: WritePath = Field(description="Its new name; with a slash at the end, the folder to put it in.")
    overwrite: bool = Field(True, description="Replace a file, or an empty folder; otherwise that is a failure.")


class MoveFileOutput(Output):
    main: ClassVar[str | None] = "destination"

    source: str = Field(description="Where it was, relative to the workspace.")
    destination: str = Field(description="Where it is now, relative to the workspace.")
    size: int = Field(description="Bytes of all files.")


# Isolated: across devices it copies, and files and folders may be of any size.
@step(idempotent=True)
def move_file(parameters: MoveFileParameters, context: StepContext) -> MoveFileOutput:
    """Move or rename a file or a folder, making the folders its new place needs.

    On one device it is a rename. To another device it is a verified copy that is put in place as a whole, and then
    the source is deleted. A link is moved, not what it leads to. A folder never replaces one that holds something.
    """
    workspace = context.workspace
    destination = destination_for(parameters.source, parameters.destination)
    shown = workspace.relative(parameters.source)
    size = _size(workspace, parameters.source)
    try:
        workspace.move(parameters.source, destination, overwrite=parameters.overwrite)
    except StepError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EXDEV:
            raise
        _move_across(workspace, parameters.source, destination, overwrite=parameters.overwrite)
    return MoveFileOutput(source=shown, destination=workspace.relative(destination), size=size)


def _move_across(workspace: Workspace, source: str, destination: str, *, overwrite: bool) -> None:
    if _is_link(workspace, source):
        with workspace.staging(destination) as staging:
            workspace.make_link(f"{staging}/link", workspace.read_link(source))
            workspace.move(f"{staging}/link", destination, overwrite=overwrite)
    else:
        there = workspace.entry(destination)
        if there is not None and there.is_dir and workspace.scan(destination):
            raise StepError(f"folder is not empty: {workspace.relative(destination)}")
        copy(workspace, source, destination, overwrite=overwrite, verify=True)
    workspace.remove(source, recursive=True)


def _is_link(workspace: Workspace, path: str) -> bool:
    try:
        workspace.read_link(path)
    except StepError:
        return False
    return True


def _size(workspace: Workspace, path: str) -> int:
    if _is_link(workspace, path):
        return 0
    entry = workspace.entry(path)
    if entry is None or not entry.is_dir:
        return entry.size if entry else 0
    return sum(below.size for below in workspace.walk(path) if not below.is_dir and not below.is_link)
