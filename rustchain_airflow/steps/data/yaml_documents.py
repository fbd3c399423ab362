"""The documents of a YAML stream, each read with the meaning mission files have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rustchain_airflow.source import Document, Fault
from rustchain_airflow.steps.data.content import Content, NotADocument, document

# YAML forbids both markers at the start of a line inside any scalar, so a line that starts with one is one.
_MARKER: Final = re.compile(r"^(---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)


def read_documents(content: Content) -> Iterator[Document]:
    """Each document in order, its lines counted from the start of the stream. Raises NotADocument."""
    text = content.text()
    found = False
    for start, end in _extents(text):
        found = True
        body = text[start:end]
        if not _holds_something(_MARKER.sub("", body)):
            body = "null"
        # Blank lines in front keep the line numbers of faults and spans right.
        padding = "\n" * text.count("\n", 0, start)
        yield document(padding + body, name=content.name, format="yaml")
    if not found:
        raise NotADocument(content.name, [Fault("RC015", "the text is empty")])


def _extents(text: str) -> Iterator[tuple[int, int]]:
    """Where each document starts and ends; directives and comments belong to the document they precede."""
    start, opened = 0, False
    for marker in _MARKER.finditer(text):
        holds = opened or _holds_something(text[start : marker.start()])
        if marker[1] == "---":
            if holds:
                yield start, marker.start()
                start = marker.start()
            opened = True
        else:
            if holds:
                yield start, marker.start()
            start, opened = marker.end(), False
    if opened or _holds_something(text[start:]):
        yield start, len(text)


def _holds_something(text: str) -> bool:
    return any(
        line.strip() and not line.lstrip().startswith("#") and not line.startswith("%") for line in text.splitlines()
    )
