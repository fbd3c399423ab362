"""The file csv_process writes: CSV, JSON, JSON lines or Parquet, in one streaming pass."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Any, BinaryIO, Final

from rustchain_airflow.steps.data.csv_text import CsvParameters


class OutputFormat(StrEnum):
    """What an output file holds."""

    CSV = "csv"
    JSON = "json"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


_SUFFIXES: Final = {
    ".json": OutputFormat.JSON,
    ".jsonl": OutputFormat.JSON_LINES,
    ".ndjson": OutputFormat.JSON_LINES,
    ".parquet": OutputFormat.PARQUET,
}


def format_by_suffix(path: str) -> OutputFormat:
    """What the name of a file asks for; CSV for any name that asks for nothing else."""
    return _SUFFIXES.get(PurePath(path).suffix.lower(), OutputFormat.CSV)


def sink(frame: Any, file: BinaryIO, format: OutputFormat, dialect: CsvParameters) -> Any:
    """A lazy frame that writes ``frame`` when it is collected. For JSON, ``file`` has to be a `JsonArray`."""
    match format:
        case OutputFormat.PARQUET:
            return frame.sink_parquet(file, lazy=True)
        case OutputFormat.JSON | OutputFormat.JSON_LINES:
            return frame.sink_ndjson(file, lazy=True)
        case _:
            return frame.sink_csv(
                file,
                lazy=True,
                separator=dialect.delimiter,
                quote_char=dialect.quotechar or '"',
                quote_style="necessary" if dialect.quotechar else "never",
            )


class JsonArray:
    """Turns JSON lines that are written to it into a JSON array, as they come."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending = b"["

    def write(self, data: bytes) -> int:
        # A line end inside a text is escaped in JSON, so each one here ends an object.
        size = len(data)
        if data:
            ended = bytes(data).endswith(b"\n")
            self._file.write(self._pending + bytes(data).rstrip(b"\n").replace(b"\n", b",\n"))
            self._pending = b",\n" if ended else b""
        return size

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> None:
        """Close the array; the file stays open."""
        self._file.write((b"[" if self._pending == b"[" else b"") + b"]\n")
