"""What a data step reads: text given in the mission, or a file of the workspace."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from rustchain_airflow.source import Document, Fault, Format, SourceError, read_text
from rustchain_airflow.steps.sdk import Alias, Parameters, ReadPath, StepContext, StepError

MAX_CONTENT_BYTES: Final = 100 * 1024 * 1024
"""Size of a text that is read as a whole, beyond which the step fails; csv_process streams and has no such limit."""

MAX_DEPTH: Final = 100
"""Lists and objects inside each other, in what is read and in what is given back."""


class SourceParameters(Parameters):
    """Exactly one of inline text and a file."""

    exactly_one = (("content", "file"),)

    content: str | None = Field(None, description="The text itself.")
    file: Annotated[ReadPath | None, Alias("path", "input_file")] = Field(
        None, description="The file to read: UTF-8, with or without a byte order mark."
    )


class ValueParameters(SourceParameters):
    """Exactly one of inline content, which may be a value already, and a file."""

    content: str | dict[str, Any] | list[Any] | None = Field(  # type: ignore[assignment]
        None, description="The text itself. An object or a list (from a reference) is taken as already parsed."
    )


with warnings.catch_warnings():
    # `schema` is the word mission files use; pydantic's own method of that name is deprecated and not used here.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class SchemaParameters(Parameters):
        """At most one of an inline schema and a file that holds one."""

        at_most_one = (("schema", "schema_file"),)

        schema: dict[str, Any] | bool | str | None = Field(  # type: ignore[assignment]
            None, description="The schema: an object, or its text."
        )
        schema_file: ReadPath | None = Field(None, description="The file that holds the schema.")


@dataclass(frozen=True, slots=True)
class Content:
    """A text as it came, undecoded, and what messages call it."""

    name: str
    data: bytes
    is_inline: bool
    """The mission holds the text itself, so it is UTF-8 whatever it says of its encoding."""

    def text(self) -> str:
        """The text, decoded. Raises StepError naming the line of the first byte that is not UTF-8."""
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            raise StepError(f"{self.name}:{line}: not UTF-8: byte 0x{self.data[error.start]:02x}") from None

    def document(self, format: Format) -> Document:
        """The text as a YAML or JSON document. Raises NotADocument."""
        return document(self.data, name=self.name, format=format)


def read_content(text: str | None, file: str | None, context: StepContext, *, name: str = "content") -> Content:
    """Inline text or a file's bytes; exactly one of the two is given. StepError beyond `MAX_CONTENT_BYTES`."""
    if file is not None:
        return Content(file, context.workspace.read(file, max_bytes=MAX_CONTENT_BYTES), is_inline=False)
    try:
        data = (text or "").encode()
    except UnicodeEncodeError:
        raise StepError(f"{name} holds half of a surrogate pair, which no UTF-8 text can") from None
    if len(data) > MAX_CONTENT_BYTES:
        raise StepError(f"{name} has {len(data):,} bytes, more than the {MAX_CONTENT_BYTES:,} allowed")
    return Content(name, data, is_inline=True)


class NotADocument(StepError):
    """A text that is not the JSON or YAML it should be; ``faults`` holds all that one pass finds."""

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        super().__init__(_message(name, faults[0]))
        self.faults = faults


def document(text: str | bytes, *, name: str, format: Format) -> Document:
    """A text as a document. Raises NotADocument, whose message names line and column of the first fault."""
    try:
        return read_text(text, name=name, format=format)
    except SourceError as error:
        raise NotADocument(name, error.faults) from None


def _message(name: str, fault: Fault) -> str:
    place = f"{name}:{fault.span.line}:{fault.span.column}" if fault.span else name
    return f"{place}: {fault.message}" + (f" ({fault.help})" if fault.help else "")
