"""A text that was read: its value, and where in the text each part of it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from rustchain_airflow.source.spans import DocumentPath, Lines, Span

Format = Literal["yaml", "json"]


@dataclass(frozen=True)
class Document:
    """A text that was read: its value, and on demand the place of each part of it.

    ``value`` is a JSON value with text keys. Parts that YAML aliases share are one object: do not change them.
    """

    name: str
    """The file as shown to people."""
    text: str = field(repr=False)
    """What was read, decoded, without a byte order mark."""
    format: Format
    digest: str
    """SHA-256 of the bytes, in hexadecimal."""
    value: Any = field(repr=False)

    def locate(self, paths: Iterable[tuple[DocumentPath, bool]]) -> dict[tuple[DocumentPath, bool], Span]:
        """The spans of any number of paths, in one pass over the text.

        Each path comes with whether the span of its key is meant instead of that of its value; a list item has no
        key and gives its value. A path that is not in the text gives its nearest written ancestor: the alias, where
        the path leads through one.
        """
        wanted = dict.fromkeys(paths)
        if not wanted:
            return {}
        from rustchain_airflow.source.places import locate

        if self.format == "json":
            from rustchain_airflow.source.json_text import json_events as events
        else:
            from rustchain_airflow.source.yaml_text import yaml_events as events
        return locate(wanted, events(self.text), self._lines)

    def span(self, path: DocumentPath, at_key: bool = False) -> Span | None:
        """The span of one path; `locate` is the way for several. None only for a document without text."""
        return self.locate([(path, at_key)])[path, at_key] if self.text else None

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end; empty where there is none."""
        return self._lines.line(number)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text)
