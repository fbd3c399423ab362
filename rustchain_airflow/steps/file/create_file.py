"""Create a file."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.file.encoding import Encoding, to_bytes
from rustchain_airflow.steps.sdk import Alias, Output, Parameters, RunsAs, StepContext, WritePath, step


def _octal(mode: str | int) -> str:
    text = str(mode).removeprefix("0o").removeprefix("0")
    if len(text) != 3 or not set(text) <= set("01234567"):
        raise PydanticCustomError("mode", 'a mode is three octal digits, such as "644", not {mode}', {"mode": mode})
    return text


class CreateFileParameters(Parameters):
    path: WritePath = Field(description="The file to create.")
    content: Annotated[str, Alias("text")] = Field("", description="What it holds.")
    mode: Annotated[str | int, AfterValidator(_octal), Alias("permissions")] | None = Field(
        None, description='Permissions as octal digits, such as "644". Default: as the system makes files.'
    )
    overwrite: bool = Field(True, description="Replace an existing file; otherwise it is a failure.")
    encoding: Encoding = Field("utf-8", description="Text encoding, or base64 where the content is base64.")


class CreateFileOutput(Output):
    main: ClassVar[str | None] = "path"

    path: str = Field(description="The file, relative to the workspace.")
    size: int = Field(description="Bytes written.")
    created: bool = Field(description="False when it replaced a file.")
    mode: str = Field(description="Permissions of the file, as octal digits.")


# Inline: it writes text that the mission already holds in memory.
@step(runs_as=RunsAs.INLINE, idempotent=True)
def create_file(parameters: CreateFileParameters, context: StepContext) -> CreateFileOutput:
    """Create a file, and the folders it needs.

    The file appears whole or not at all, also when the machine stops meanwhile. A file that is there is replaced
    and keeps its permissions; with `overwrite: false` the step fails instead, and of several steps that create one
    file at the same time one succeeds.
    """
    workspace = context.workspace
    content = to_bytes(parameters.content, parameters.encoding)
    mode = int(str(parameters.mode), 8) if parameters.mode is not None else None
    created = workspace.entry(parameters.path) is None
    with workspace.write(parameters.path, mode=mode, overwrite=parameters.overwrite) as file:
        file.write(content)
    written = workspace.entry(parameters.path)
    return CreateFileOutput(
        path=workspace.relative(parameters.path),
        size=len(content),
        created=created,
        mode=f"{written.mode if written else mode or 0:03o}",
    )
