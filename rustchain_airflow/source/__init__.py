"""Mission text to a Document: the value, and where in the text each part of it stands."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rustchain_airflow.source.builder import Builder
from rustchain_airflow.source.document import Document, Format
from rustchain_airflow.source.faults import FAULTS, Fault, SourceError
from rustchain_airflow.source.file_text import decode, read_bytes
from rustchain_airflow.source.limits import DEFAULT_LIMITS, Limits
from rustchain_airflow.source.spans import DocumentPath, Lines, Span

__all__ = [
    "FAULTS",
    "Document",
    "DocumentPath",
    "Fault",
    "Format",
    "Limits",
    "Lines",
    "SourceError",
    "Span",
    "read_file",
    "read_text",
]


def read_file(path: Path | str, *, limits: Limits = DEFAULT_LIMITS) -> Document:
    """Read a mission file: JSON when its name ends in ``.json``, else YAML (semantics §1.1).

    Never waits (for a pipe), never reads more than ``limits.max_bytes``. Raises SourceError.
    """
    name = str(path)
    return read_text(
        read_bytes(name, limits.max_bytes),
        name=name,
        format="json" if name.lower().endswith(".json") else "yaml",
        limits=limits,
    )


def read_text(text: str | bytes, *, name: str, format: Format = "yaml", limits: Limits = DEFAULT_LIMITS) -> Document:
    """Read a document from its text, or from bytes in UTF-8 with or without a byte order mark.

    ``name`` is what messages call it. Raises SourceError with all faults of the text (semantics §1.4).
    """
    data, decoded = decode(text, name, limits.max_bytes)
    if not decoded.strip():
        raise SourceError(name, [Fault("RC015", "the file is empty")], decoded)
    # A mission is in one format: the other's reader and its libraries would only cost the start.
    builder: Builder
    if format == "json":
        from rustchain_airflow.source.json_text import JsonBuilder

        builder = JsonBuilder(decoded, limits)
    else:
        from rustchain_airflow.source.yaml_text import YamlBuilder

        builder = YamlBuilder(decoded, limits)
    value = builder.build()
    if builder.faults:
        faults = sorted(
            builder.faults, key=lambda fault: (fault.span.line, fault.span.column) if fault.span else (0, 0)
        )
        raise SourceError(name, faults, decoded)
    return Document(name, decoded, format, hashlib.sha256(data).hexdigest(), value)
