"""Read a file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.file.encoding import Encoding, to_text
from rustchain_airflow.steps.sdk import Output, Parameters, ReadPath, RunsAs, StepContext, step


class ReadFileParameters(Parameters):
    path: ReadPath = Field(description="The file to read.")
    encoding: Encoding = Field("utf-8", description="Text encoding, or base64 to get binary content as base64.")
    max_bytes: int = Field(10 * 1024 * 1024, ge=0, description="A larger file is a failure.")
    variable: str | None = Field(None, description="Context variable that takes the content.")


class ReadFileOutput(Output):
    main: ClassVar[str | None] = "content"

    path: str = Field(description="The file, relative to the workspace.")
    content: str = Field(description="All of it, as text.")
    size: int = Field(description="Its size in bytes.")
    encoding: str = Field(description="How the text was read.")


# Inline: regular files only, and no more of one than max_bytes.
@step(runs_as=RunsAs.INLINE, idempotent=True)
def read_file(parameters: ReadFileParameters, context: StepContext) -> ReadFileOutput:
    """Read a whole file as text.

    Line breaks and a byte order mark come as they are (`encoding: utf-8-sig` drops the mark). Bytes that are not
    text in the encoding fail the step, as does a file of more than `max_bytes`. With `variable: NAME`, later steps
    may write `{{ NAME }}` for the content.
    """
    path = context.workspace.relative(parameters.path)
    data = context.workspace.read(parameters.path, max_bytes=parameters.max_bytes)
    return ReadFileOutput(
        path=path,
        content=to_text(data, parameters.encoding, path=path),
        size=len(data),
        encoding=parameters.encoding,
    )
