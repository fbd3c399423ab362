"""The two names of a part of a document: its path in the value, and its span in the text."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, NamedTuple

DocumentPath = tuple[str | int, ...]
"""Keys and list indices from the root to a part of a document; ``()`` is the root."""


class Span(NamedTuple):
    """A stretch of text: lines and columns from 1, the end exclusive, columns in Unicode characters."""

    line: int
    column: int
    end_line: int
    end_column: int


class Lines:
    """Offsets in a text to lines and columns. Lines end as editors end them: LF, CR LF or CR."""

    _END: Final = re.compile(r"\r\n?|\n")

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(end.end() for end in self._END.finditer(text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of a character."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The span of ``text[start:end]``."""
        return Span(*self.position(start), *self.position(max(start, end)))

    def line(self, number: int) -> str:
        """The text of a line without its end; empty where there is none."""
        if not 1 <= number <= len(self._starts):
            return ""
        end = self._starts[number] if number < len(self._starts) else len(self._text)
        return self._text[self._starts[number - 1] : end].rstrip("\r\n")
