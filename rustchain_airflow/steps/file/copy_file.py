"""Copy a file or a folder."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.file.replica import copy, destination_for
from rustchain_airflow.steps.sdk import Output, Parameters, ReadPath, StepContext, WritePath, step


class CopyFileParameters(Parameters):
    source: ReadPath = Field(description="The file or folder to copy.")
    destination: WritePath = Field(description="The copy; with a slash at the end, the folder to put it in.")
    overwrite: bool = Field(True, description="Replace a file, or merge into a folder; otherwise that is a failure.")
    verify: bool = Field(True, description="Read the copy again and compare SHA-256 before it is put in place.")


class CopyFileOutput(Output):
    main: ClassVar[str | None] = "destination"

    source: str = Field(description="Relative to the workspace.")
    destination: str = Field(description="The copy, relative to the workspace.")
    size: int = Field(description="Bytes of all files.")
    files: int = Field(description="How many files were copied.")
    sha256: str = Field(
        description="Of a file: of its content. Of a folder: of what `sha256sum` prints for its files in name order."
    )


# Isolated: files and folders may be of any size.
@step(idempotent=True)
def copy_file(parameters: CopyFileParameters, context: StepContext) -> CopyFileOutput:
    """Copy a file, or a folder with all it holds, with its permissions.

    The copy is built beside its destination, verified, and put in place as a whole. A folder that is there already
    is merged into: files of the same name are replaced one by one, others stay. Links below a folder stay links,
    and must lead inside the workspace. A copy onto or into itself is refused.
    """
    destination = destination_for(parameters.source, parameters.destination)
    content = copy(
        context.workspace, parameters.source, destination, overwrite=parameters.overwrite, verify=parameters.verify
    )
    return CopyFileOutput(
        source=context.workspace.relative(parameters.source),
        destination=context.workspace.relative(destination),
        size=content.size,
        files=content.files,
        sha256=content.sha256,
    )
