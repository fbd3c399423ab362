"""CSV as text: its dialect, its rows with their line numbers, and what can be wrong with their form."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.sdk import Parameters

_MAX_CELL: Final = 16 * 1024 * 1024
"""Characters of one cell: an unclosed quote would otherwise make one cell of the rest of the file."""

_CHUNK: Final = 1024 * 1024

_NAMED_DELIMITERS: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def _named(value: Any) -> Any:
    return _NAMED_DELIMITERS.get(value.lower(), value) if isinstance(value, str) else value


def _delimiter(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in '\r\n\0"':
        raise PydanticCustomError("value_error", "a delimiter is one ASCII character, such as , ; | or tab")
    return value


def _quote(value: str) -> str:
    if len(value) > 1 or not value.isascii() or value in ("\r", "\n", "\0"):
        raise PydanticCustomError("value_error", "a quote is one ASCII character, or empty where nothing is quoted")
    return value


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
        "".encode(value)
    except (LookupError, ValueError):
        raise PydanticCustomError("value_error", 'unknown encoding "{name}"', {"name": value}) from None
    return "utf-8" if codecs.lookup(value).name in ("utf-8", "utf-8-sig", "ascii") else value


class CsvParameters(Parameters):
    """How a CSV text is written."""

    delimiter: Annotated[str, BeforeValidator(_named), AfterValidator(_delimiter)] = Field(
        ",", description='What stands between cells: one ASCII character, or "tab".'
    )
    quotechar: Annotated[str, AfterValidator(_quote)] = Field(
        '"', description="What encloses cells that hold delimiters or line ends; empty where nothing is quoted."
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8", description="Encoding of a file. A byte order mark is not part of the first header."
    )
    has_header: bool = Field(
        True, description="Whether the first row names the columns; otherwise they are column_1, column_2 …"
    )

    @model_validator(mode="after")
    def _delimiter_is_no_quote(self) -> CsvParameters:
        if self.delimiter == self.quotechar:
            raise PydanticCustomError("value_error", "delimiter and quotechar are the same")
        return self


@dataclass(frozen=True, slots=True)
class CsvFault:
    """One thing wrong with the form of a CSV text."""

    line: int
    message: str


class Malformed(Exception):
    """The rest of the text cannot be told apart into rows."""

    def __init__(self, fault: CsvFault) -> None:
        super().__init__(f"line {fault.line}: {fault.message}")
        self.fault = fault


class Row(NamedTuple):
    """One row, and the lines of the text it starts and ends on; a tuple, because there are millions of them."""

    line: int
    last_line: int
    cells: list[str]


def rows(file: BinaryIO, dialect: CsvParameters) -> Iterator[Row]:
    """The rows of a file from its start, header included, in constant memory.

    Where there are several columns, lines that hold no value (blank, or nothing but delimiters) are no rows; where
    there is one, only those in front of the first row are not. Raises Malformed for a quote that is not closed, text
    behind a closed quote, and bytes of another encoding.
    """
    csv.field_size_limit(_MAX_CELL)
    file.seek(0)
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    text = io.TextIOWrapper(file, encoding, newline="")
    line = 1
    several: bool | None = None
    try:
        reader = csv.reader(
            text,
            delimiter=dialect.delimiter,
            quotechar=dialect.quotechar or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
            strict=True,
        )
        for cells in reader:
            last_line = reader.line_num
            if several is None and any(cells):
                several = len(cells) > 1
            if several is False or any(cells):
                yield Row(line, last_line, cells or [""])
            line = last_line + 1
    except csv.Error as error:
        raise Malformed(CsvFault(line, _reason(error, dialect))) from None
    except UnicodeError:
        raise Malformed(CsvFault(_line_of_bad_byte(file, encoding), f"not {dialect.encoding}")) from None
    finally:
        text.detach()


def _reason(error: csv.Error, dialect: CsvParameters) -> str:
    message = str(error)
    if "unexpected end of data" in message or "field larger" in message:
        return f"a {dialect.quotechar} opens a cell of the row that begins here and is not closed"
    if "expected after" in message:
        return f"there is text behind the closing {dialect.quotechar} of a cell in the row that begins here"
    return message


def _line_of_bad_byte(file: BinaryIO, encoding: str) -> int:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    while True:
        chunk = file.read(_CHUNK)
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            return line + error.object[: error.start].decode(encoding, "ignore").count("\n")
        if not chunk:
            return line


def header_of(file: BinaryIO, dialect: CsvParameters) -> tuple[list[str], int]:
    """The names of the columns, each once, and the number of lines in front of the first row of data.

    A name that is there already gets `_2`, `_3` …, an empty one is `column_N`. Raises Malformed, also for no rows.
    """
    first = next(rows(file, dialect), None)
    if first is None:
        raise Malformed(CsvFault(1, "the file is empty"))
    if dialect.has_header:
        return unique_names(first.cells), first.last_line
    return [f"column_{number}" for number in range(1, len(first.cells) + 1)], first.line - 1


def unique_names(names: Sequence[str]) -> list[str]:
    """Each name once: the second of a name gets `_2`, and so on; an empty one is `column_N` by its place."""
    taken = set(names)
    seen: set[str] = set()
    unique = []
    for place, name in enumerate(names, 1):
        chosen = name = name or f"column_{place}"
        number = 2
        while chosen in seen or (chosen != name and chosen in taken):
            chosen = f"{name}_{number}"
            number += 1
        seen.add(chosen)
        unique.append(chosen)
    return unique


class FormCheck:
    """Goes through the rows of a file once; ``faults`` may be asked while it does."""

    def __init__(self, file: BinaryIO, dialect: CsvParameters) -> None:
        self.names: list[str] = []
        self.row_count = 0
        """Rows of data so far."""
        self._file = file
        self._dialect = dialect

    def __iter__(self) -> Iterator[tuple[Row, Sequence[CsvFault]]]:
        """Each row, header included, with what is wrong with its form. Raises Malformed where rows end."""
        numbered = rows(self._file, self._dialect)
        first = next(numbered, None)
        if first is None:
            raise Malformed(CsvFault(1, "the file is empty"))
        width = len(first.cells)
        if self._dialect.has_header:
            self.names = first.cells
            yield first, _duplicates(first)
        else:
            self.names = [f"column_{number}" for number in range(1, width + 1)]
            self.row_count = 1
            yield first, ()
        for row in numbered:
            self.row_count += 1
            given = len(row.cells)
            if given == width:
                yield row, ()
            else:
                yield row, [CsvFault(row.line, f"{given} cells where there are {width} columns")]


def _duplicates(header: Row) -> list[CsvFault]:
    repeated = {name: None for name in header.cells if header.cells.count(name) > 1}
    return [CsvFault(header.line, f'the header "{name}" is there more than once') for name in repeated]


def line_end(file: BinaryIO) -> str:
    """What ends lines, for a reader that has to be told: CR in files of old Macintoshes, else LF (CR LF included)."""
    file.seek(0)
    head = file.read(_CHUNK)
    file.seek(0)
    return "\r" if b"\r" in head and b"\n" not in head else "\n"


def as_utf_8(file: BinaryIO, dialect: CsvParameters, into: BinaryIO) -> None:
    """Copy a file of another encoding piece by piece. Raises Malformed for bytes that are not of that encoding."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(dialect.encoding)()
    try:
        while chunk := file.read(_CHUNK):
            into.write(decoder.decode(chunk).encode())
        into.write(decoder.decode(b"", final=True).encode())
    except UnicodeError:
        raise Malformed(CsvFault(_line_of_bad_byte(file, dialect.encoding), f"not {dialect.encoding}")) from None
    into.seek(0)
