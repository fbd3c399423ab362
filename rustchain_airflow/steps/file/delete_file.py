"""Delete a file or a folder."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.sdk import Output, Parameters, StepContext, StepError, WritePath, step


class DeleteFileParameters(Parameters):
    path: WritePath = Field(description="The file, link or folder to delete.")
    missing_ok: bool = Field(True, description="Nothing to delete is a success; otherwise it is a failure.")
    recursive: bool = Field(False, description="Delete a folder with all it holds.")


class DeleteFileOutput(Output):
    main: ClassVar[str | None] = "path"

    path: str = Field(description="What was to be deleted, relative to the workspace.")
    existed: bool = Field(description="Whether it was there.")
    deleted: bool = Field(description="Whether it was there and is no longer.")


# Isolated: a folder may hold any number of files.
@step(idempotent=True)
def delete_file(parameters: DeleteFileParameters, context: StepContext) -> DeleteFileOutput:
    """Delete a file, or with `recursive: true` a folder with all it holds.

    A link is deleted, never what it leads to. The workspace itself cannot be deleted. A folder that could only be
    emptied in part is gone on with when the step runs again.
    """
    path = context.workspace.relative(parameters.path)
    try:
        context.workspace.remove(parameters.path, recursive=parameters.recursive)
    except StepError as error:
        if parameters.missing_ok and isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
            return DeleteFileOutput(path=path, existed=False, deleted=False)
        raise
    return DeleteFileOutput(path=path, existed=True, deleted=True)
