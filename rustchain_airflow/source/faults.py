"""The faults that reading a text can have, and the error that carries them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final, NamedTuple

from rustchain_airflow.source.spans import Lines, Span

FAULTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "RC001": (
            "invalid-syntax",
            "The text is not well-formed YAML (or JSON, in a `.json` file), so nothing after this place could be read. "
            "Common causes are a tab in the indentation, a quote that is never closed, and a value holding `: ` "
            "that is not quoted.",
        ),
        "RC002": (
            "duplicate-key",
            "A mapping holds the same key twice. Most YAML readers keep the last one silently, so one of the two "
            "would have no effect; say which one is meant by removing the other.",
        ),
        "RC003": (
            "second-document",
            "A mission file holds one mission. Text after a second `---` would be ignored by some readers and run by "
            "others; put it into a file of its own.",
        ),
        "RC004": (
            "unknown-tag",
            "A value carries a tag such as `!secret` or `!!python/object`. Missions are plain data: only the tags "
            "`!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!map` and `!!seq` have a meaning.",
        ),
        "RC005": (
            "tag-mismatch",
            "A value does not have the form its tag asks for, such as `!!int many`.",
        ),
        "RC006": (
            "undefined-alias",
            "An alias (`*name`) refers to an anchor (`&name`) that is not defined above it. A value that only starts "
            "with `*`, such as a file pattern, has to be quoted.",
        ),
        "RC007": (
            "recursive-alias",
            "An alias refers to a part of the document that it stands in. Such a value has no end and cannot be "
            "written as JSON.",
        ),
        "RC008": (
            "excessive-aliases",
            "Aliases and merge keys repeat so much of the document that it would grow beyond the limit. A few lines "
            "of nested aliases can stand for billions of values, so the growth is bounded.",
        ),
        "RC009": (
            "deep-nesting",
            "Lists and mappings are nested deeper than the limit. No mission needs that depth; it is bounded because "
            "it makes readers slow or crashes them.",
        ),
        "RC010": (
            "excessive-values",
            "The document holds more values than the limit admits.",
        ),
        "RC011": (
            "unquoted-reference",
            "A value starts with `{{` and is not quoted. YAML reads braces as a mapping, so the reference is lost; "
            'write `"{{ step.output.field }}"`.',
        ),
        "RC012": (
            "non-text-key",
            "A list or a mapping is used as a key. Keys of a mission are text.",
        ),
        "RC013": (
            "unrepresentable-number",
            "A number cannot be a JSON value: infinity, not-a-number, a float beyond the range of a double, or an "
            "integer of thousands of digits. Quote it if text is meant.",
        ),
        "RC014": (
            "invalid-merge",
            "A merge key (`<<`) takes a mapping or a list of mappings, usually as aliases.",
        ),
        "RC015": ("empty-file", "The file holds nothing, or nothing but comments."),
        "RC016": ("missing-file", "There is no file of this name."),
        "RC017": ("directory", "The name is that of a directory; a mission is a file."),
        "RC018": (
            "unreadable-file",
            "The operating system did not let the file be read; the message holds its reason.",
        ),
        "RC019": (
            "irregular-file",
            "The name is that of a pipe, a socket or a device. Reading one may wait forever, so only regular files "
            "are read.",
        ),
        "RC020": (
            "oversized-file",
            "The file is larger than the limit. Its size is asked for first, so that none of it was read.",
        ),
        "RC021": (
            "binary-file",
            "The file holds NUL bytes, so it is not text: perhaps an archive or an image under a mission's name.",
        ),
        "RC022": (
            "foreign-encoding",
            "The file is not encoded in UTF-8, the only encoding of missions.",
        ),
        "RC023": (
            "changing-file",
            "The file changed while it was read, so what was read may be half old and half new.",
        ),
    }
)
"""Code to (slug, what it means): the faults that reading a text can have. The slug completes "allow …"."""


class Fault(NamedTuple):
    """Why a text cannot be read, by a code of `FAULTS`; no span where the fault is the whole file's."""

    code: str
    message: str
    span: Span | None = None
    help: str | None = None


class SourceError(Exception):
    """A text that is not a document, with every fault that one pass finds, in the order of the text.

    ``name`` is the file as shown, ``text`` what was read of it (None where nothing could be).
    """

    def __init__(self, name: str, faults: Iterable[Fault], text: str | None = None) -> None:
        self.name = name
        self.faults = tuple(faults)
        self.text = text
        super().__init__(name, self.faults, text)

    def __str__(self) -> str:
        return "\n".join(
            f"{self.name}:{fault.span.line}:{fault.span.column}: {fault.code} {fault.message}"
            if fault.span
            else f"{self.name}: {fault.code} {fault.message}"
            for fault in self.faults
        )

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end; empty where there is none."""
        return self._lines.line(number)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text or "")
