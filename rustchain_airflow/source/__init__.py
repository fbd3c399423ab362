"""Mission text to a Document: the value, and where in the text each part of it stands."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, NoReturn

DocumentPath = tuple[str | int, ...]
"""Keys and list indices from the root to a part of a document; ``()`` is the root."""

Format = Literal["yaml", "json"]

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


class Span(NamedTuple):
    """A stretch of text: lines and columns from 1, the end exclusive, columns in Unicode characters."""

    line: int
    column: int
    end_line: int
    end_column: int


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


class Limits(NamedTuple):
    """What a text may cost (semantics §1.2). The defaults admit 100 MB and 200,000 steps."""

    max_bytes: int = 128 * 1024 * 1024
    """Size of the file."""
    max_depth: int = 100
    """Lists and mappings inside each other."""
    max_nodes: int = 50_000_000
    """Lists, mappings, keys and scalars, each alias counted with all it stands for."""
    max_expansion: int = 1_000_000
    """Nodes that aliases may add; a document that writes more may always grow by ten times what it writes."""


_GROWTH: Final = 10
_DEFAULT_LIMITS: Final = Limits()


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
        root = _Place()
        for path, _ in wanted:
            place = root
            for segment in path:
                place = place.children.setdefault(segment, _Place())
            place.is_target = True
        if wanted:
            _survey(root, _json_events(self.text) if self.format == "json" else _yaml_events(self.text))
        return {(path, at_key): self._span(root, path, at_key) for path, at_key in wanted}

    def span(self, path: DocumentPath, at_key: bool = False) -> Span | None:
        """The span of one path; `locate` is the way for several. None only for a document without text."""
        return self.locate([(path, at_key)])[path, at_key] if self.text else None

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end; empty where there is none."""
        return self._lines.line(number)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text)

    def _span(self, root: _Place, path: DocumentPath, at_key: bool) -> Span:
        place = root
        for segment in path:
            child = place.children[segment]
            if child.start is None:
                break
            place = child
        if at_key and place.key is not None:
            return self._lines.span(*place.key)
        start = place.start or 0
        return self._lines.span(start, start if place.end is None else place.end)


def read_file(path: Path | str, *, limits: Limits = _DEFAULT_LIMITS) -> Document:
    """Read a mission file: JSON when its name ends in ``.json``, else YAML (semantics §1.1).

    Never waits (for a pipe), never reads more than ``limits.max_bytes``. Raises SourceError.
    """
    name = str(path)
    return read_text(
        _read_bytes(name, limits.max_bytes),
        name=name,
        format="json" if name.lower().endswith(".json") else "yaml",
        limits=limits,
    )


def read_text(text: str | bytes, *, name: str, format: Format = "yaml", limits: Limits = _DEFAULT_LIMITS) -> Document:
    """Read a document from its text, or from bytes in UTF-8 with or without a byte order mark.

    ``name`` is what messages call it. Raises SourceError with all faults of the text (semantics §1.4).
    """
    data, decoded = _decode(text, name, limits.max_bytes)
    if not decoded.strip():
        raise SourceError(name, [Fault("RC015", "the file is empty")], decoded)
    builder = _Builder(decoded, limits)
    value = builder.build_json() if format == "json" else builder.build_yaml()
    if builder.faults:
        faults = sorted(
            builder.faults, key=lambda fault: (fault.span.line, fault.span.column) if fault.span else (0, 0)
        )
        raise SourceError(name, faults, decoded)
    return Document(name, decoded, format, hashlib.sha256(data).hexdigest(), value)


# Bytes


def _read_bytes(name: str, limit: int) -> bytes:
    # O_NONBLOCK: opening a pipe that nobody writes to would wait forever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(name, flags)
        try:
            return _read_descriptor(descriptor, name, limit)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(name, [Fault("RC016", "there is no such file")]) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(name, [Fault("RC018", f"the file cannot be read: {reason.lower()}")]) from None


def _read_descriptor(descriptor: int, name: str, limit: int) -> bytes:
    before = os.fstat(descriptor)
    if stat.S_ISDIR(before.st_mode):
        raise SourceError(name, [Fault("RC017", "this is a directory, not a file")])
    if not stat.S_ISREG(before.st_mode):
        raise SourceError(name, [Fault("RC019", "this is not a regular file")])
    if before.st_size > limit:
        raise _oversized(name, before.st_size, limit)
    chunks: list[bytes] = []
    room = before.st_size + 1  # one more than there should be, to see whether it grew
    while room and (chunk := os.read(descriptor, room)):
        chunks.append(chunk)
        room -= len(chunk)
    after = os.fstat(descriptor)
    if room != 1 or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceError(name, [Fault("RC023", "the file changed while it was read", help="try again")])
    return b"".join(chunks)


def _oversized(name: str, size: int, limit: int) -> SourceError:
    return SourceError(name, [Fault("RC020", f"the file has {size:,} bytes; the limit is {limit:,}")])


def _decode(text: str | bytes, name: str, limit: int) -> tuple[bytes, str]:
    """The bytes as they are and the text without byte order mark."""
    if isinstance(text, str):
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            fault = Fault("RC022", "the text holds half of a surrogate pair", Lines(text).span(error.start, error.end))
            raise SourceError(name, [fault], text.encode(errors="replace").decode()) from None
    else:
        data = text
    if len(data) > limit:
        raise _oversized(name, len(data), limit)
    if _looks_like_utf_16(data):
        raise SourceError(name, [Fault("RC022", "the file is encoded in UTF-16, not UTF-8", help="save it as UTF-8")])
    if (nul := data.find(0)) >= 0:
        raise SourceError(name, [Fault("RC021", f"this is not a text file: byte {nul:,} is NUL")])
    try:
        return data, data.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        # Every byte that is no UTF-8 becomes one character, so offsets up to the first are right.
        shown = data.decode(errors="replace")
        start = len(data[: error.start].decode())
        fault = Fault(
            "RC022",
            f"the file is not encoded in UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,}",
            Lines(shown).span(start, start + 1),
            help="save it as UTF-8",
        )
        raise SourceError(name, [fault], shown) from None


def _looks_like_utf_16(data: bytes) -> bool:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    head = data[:1024]
    nul = [place % 2 for place, byte in enumerate(head) if byte == 0]  # the high halves of Western text
    return len(nul) > 0.4 * len(head) and len(set(nul)) == 1


# Values


class _Mark:
    """A value that no document holds, told apart by identity."""


_MERGE: Final = _Mark()
_UNREPRESENTABLE: Final = _Mark()

_MAX_DIGITS: Final = 4000  # Python refuses to print or parse longer integers
_CACHED_LENGTH: Final = 64
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TYPED: Final = frozenset({"", *"0123456789+-.~nNtTfF"})
"""What a plain scalar that is no text can start with."""


def _meaning(text: str) -> Any:
    """What a plain scalar means: YAML 1.2 core, but a leading zero makes text (semantics §1.1)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return _UNREPRESENTABLE if _NOT_FINITE.fullmatch(text) else text


_cached_meaning: Final = lru_cache(maxsize=8192)(_meaning)


def _integer(text: str) -> Any:
    if len(text) > _MAX_DIGITS:
        return _UNREPRESENTABLE
    digits = text.lstrip("+-")
    return int(text, {"0o": 8, "0x": 16}.get(digits[:2], 10))


def _float(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _UNREPRESENTABLE


_CORE: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = frozenset({"str", "int", "float", "bool", "null"})


def _tagged(kind: str, text: str) -> Any:
    """A scalar read as its core tag says. Raises ValueError when it has another form."""
    if kind == "str":
        return text
    value = _meaning(text)
    if kind == "null" and value is None:
        return None
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int":
        if value is _UNREPRESENTABLE or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if re.fullmatch(r"[-+]?[0-9]+", text):
            return _integer(text)
    if kind == "float":
        if value is _UNREPRESENTABLE:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _float(text) if _FLOAT.fullmatch(text) else float(value)
    raise ValueError(text)


class _Stop(Exception):
    """Nothing more can be read; the fault is recorded."""


class _Anchor(NamedTuple):
    value: Any
    nodes: int
    """How many nodes an alias adds; 0 while the anchored node is still open."""
    height: int = 0
    """How many levels of lists and mappings it is."""
    key: str | None = None
    """The text as a key, when it is a scalar."""


class _Builder:
    """Builds a value from events, without recursion, and collects the faults that it can go on after."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.faults: list[Fault] = []
        self._text = text
        self._limits = limits
        self._anchors: dict[str, _Anchor] = {}
        self._added = 0

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def build_yaml(self) -> Any:
        try:
            return self._yaml_value()
        except _Stop:
            return None

    def build_json(self) -> Any:
        try:
            return self._json_value()
        except _JsonFault as error:
            self._mishap(_Complaint(error.message, error.start, error.help))
        except _Stop:
            pass
        return None

    def _fault(self, code: str, message: str, start: int, end: int, help: str | None = None) -> None:
        self.faults.append(Fault(code, message, self._lines.span(start, min(end, len(self._text))), help))

    def _mishap(self, complaint: _Complaint) -> None:
        start, end = complaint.start, complaint.start + complaint.length
        if self._text[start : start + 1] in ("\r", "\n"):  # a line's end shows no character to point at
            end = start
        self._fault("RC001", complaint.message, start, end, complaint.help)

    def _stop(self, code: str, message: str, start: int, end: int, help: str | None = None) -> NoReturn:
        self._fault(code, message, start, end, help)
        raise _Stop

    def _yaml_value(self) -> Any:
        """The loop that all of a file goes through: kept flat, because calls are what it would cost most."""
        import yaml

        parser = _parser_class()(self._text)
        next_event = parser.get_event
        scalar, alias = yaml.ScalarEvent, yaml.AliasEvent
        mapping_start, sequence_start = yaml.MappingStartEvent, yaml.SequenceStartEvent
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        anchors, meaning = self._anchors, _cached_meaning
        max_depth, max_nodes = self._limits.max_depth, self._limits.max_nodes
        keys: dict[str, str] = {}  # equal keys are one object: a large mission repeats a few hundred times

        roots: list[Any] = []
        stack: list[tuple[Any, Any, dict[Any, int], list[Any], str | None, int, int]] = []
        container: Any = roots
        key: Any = None
        seen: dict[Any, int] = {}
        merged: list[Any] = []
        nodes = 0
        height = 0  # levels below the open container
        odd_key_depth = 0  # above zero inside a list or mapping that stands as a key: one fault is enough
        try:
            while True:
                event = next_event()
                kind = event.__class__
                if kind is scalar:
                    nodes += 1
                    text = value = event.value
                    if event.tag is not None:
                        value = self._tagged_scalar(event)
                    elif not event.style and text[:1] in _TYPED:
                        value = meaning(text) if len(text) < _CACHED_LENGTH else _meaning(text)
                        if value is not text:
                            if len(stack) == 1 and key == "version" and type(value) in (int, float):
                                value = text
                            elif value is _UNREPRESENTABLE and (key is not None or container.__class__ is list):
                                self._unrepresentable(text, *_extent(event))
                    if event.anchor is not None:
                        anchors[event.anchor] = _Anchor(value, 1, key=text)
                elif kind in ends:
                    value, text = container, None
                    if merged:
                        for base in merged:
                            for name, item in base.items():
                                value.setdefault(name, item)
                    container, key, seen, merged, anchor, before, beside = stack.pop()
                    height += 1
                    if anchor is not None:
                        anchors[anchor] = _Anchor(value, nodes - before, height)
                    if beside > height:
                        height = beside
                    if len(stack) < odd_key_depth:
                        odd_key_depth = 0
                elif kind is mapping_start or kind is sequence_start:
                    nodes += 1
                    if len(stack) >= max_depth:
                        self._too_deep(event.start_mark.index)
                    if event.tag is not None:
                        self._collection_tag(event, "map" if kind is mapping_start else "seq")
                    if key is None and container.__class__ is dict and not odd_key_depth:
                        self._odd_key(event)
                        odd_key_depth = len(stack) + 1
                    stack.append((container, key, seen, merged, event.anchor, nodes - 1, height))
                    if event.anchor is not None:
                        anchors[event.anchor] = _Anchor(None, 0)
                    height = 0
                    container = {} if kind is mapping_start else []
                    key, seen, merged = None, {}, []
                    continue
                elif kind is alias:
                    target = self._alias(event, nodes)
                    value, text = target.value, target.key
                    nodes += target.nodes
                    height = max(height, target.height)
                    if len(stack) + target.height > max_depth:
                        self._too_deep(event.start_mark.index)
                    if text is None and key is None and container.__class__ is dict:
                        self._odd_key(event)
                elif kind is yaml.DocumentStartEvent:
                    if roots:
                        help = "put each mission into a file of its own"
                        start = event.start_mark.index
                        self._stop("RC003", "a second document starts here", start, start + 3, help)
                    continue
                elif kind is yaml.StreamEndEvent:
                    break
                else:
                    continue

                if nodes > max_nodes:
                    start = event.start_mark.index
                    self._stop("RC010", f"the document holds more than {max_nodes:,} values", start, start + 1)
                if container.__class__ is list:
                    container.append(value)
                elif key is None:
                    start = event.start_mark.index
                    if text is None:  # a faulty key: anything that is not there yet
                        key = f"\0{start}"
                    elif text == "<<" and kind is scalar and not event.style and event.tag is None:
                        key = _MERGE
                    else:
                        key = keys.setdefault(text, text)
                    first = seen.setdefault(key, start)
                    if first != start and not odd_key_depth:
                        self._duplicate(key, first, *_extent(event))
                elif key is _MERGE:
                    merged.extend(self._merge(value, seen[key]))
                    key = None
                else:
                    container[key] = value
                    key = None
        except yaml.YAMLError as error:
            self._syntax(error)
            raise _Stop from None
        finally:
            parser.dispose()
        if not roots or (roots[0] is None and not text):
            self.faults.append(Fault("RC015", "the file is empty" if roots else "the file holds nothing but comments"))
            raise _Stop
        return roots[0]

    def _json_value(self) -> Any:
        max_depth, max_nodes = self._limits.max_depth, self._limits.max_nodes
        roots: list[Any] = []
        stack: list[tuple[Any, str | None, dict[str, int]]] = []
        container: Any = roots
        key: str | None = None
        seen: dict[str, int] = {}
        nodes = 0
        for kind, value, start, end in _json_events(self._text):
            if kind is _END:
                value = container
                container, key, seen = stack.pop()
            else:
                nodes += 1
                if nodes > max_nodes:
                    self._stop("RC010", f"the document holds more than {max_nodes:,} values", start, start + 1)
                if kind is not _SCALAR:
                    if len(stack) >= max_depth:
                        self._too_deep(start)
                    stack.append((container, key, seen))
                    container, key, seen = {} if kind is _MAPPING else [], None, {}
                    continue
                if value is _UNREPRESENTABLE:
                    self._unrepresentable(self._text[start:end], start, end)
                elif len(stack) == 1 and key == "version" and type(value) in (int, float):
                    value = self._text[start:end]
            if container.__class__ is list:
                container.append(value)
            elif key is None:
                key = value
                if (first := seen.setdefault(value, start)) != start:
                    self._duplicate(value, first, start, end)
            else:
                container[key] = value
                key = None
        return roots[0]

    def _duplicate(self, key: Any, first: int, start: int, end: int) -> None:
        line, _ = self._lines.position(first)
        if key is _MERGE:
            message, help = f'"<<" stands here again; it was on line {line}', "merge several with <<: [*one, *other]"
        else:
            message, help = f'"{_shortened(key)}" stands here again; it was on line {line}', "remove one of the two"
        self._fault("RC002", message, start, end, help)

    def _unrepresentable(self, text: str, start: int, end: int) -> None:
        message = (
            f"a number of {len(text):,} digits is beyond the limit of {_MAX_DIGITS:,}"
            if _INTEGER.fullmatch(text) or _BASED.fullmatch(text)
            else f'"{_shortened(text)}" is a number that JSON cannot hold'
        )
        self._fault("RC013", message, start, end, "quote it if text is meant")

    def _too_deep(self, start: int) -> NoReturn:
        message = f"lists and mappings are nested more than {self._limits.max_depth} deep"
        self._stop("RC009", message, start, start + 1)

    def _alias(self, event: Any, nodes: int) -> _Anchor:
        start, end = _extent(event)
        target = self._anchors.get(event.anchor)
        if target is None:
            help = f'define it above with "&{event.anchor}", or quote the value if it is text'
            self._fault("RC006", f'alias "*{event.anchor}" has no anchor above it', start, end, help)
        elif target.nodes == 0:
            self._fault("RC007", f'alias "*{event.anchor}" stands inside the part that it refers to', start, end)
        else:
            written = nodes - self._added
            self._added += target.nodes
            most = max(self._limits.max_expansion, _GROWTH * written)
            if self._added > most:
                message = f"aliases up to here repeat more than {most:,} values"
                self._stop("RC008", message, start, end, "write less with aliases and merge keys")
            return target
        return _Anchor(None, 1, key=f"*{event.anchor}")

    def _merge(self, value: Any, start: int) -> list[dict[str, Any]]:
        bases = value if isinstance(value, list) else [value]
        if all(isinstance(base, dict) for base in bases):
            return bases
        message = '"<<" takes a mapping or a list of mappings'
        self._fault("RC014", message, start, start + 2, 'quote the key if "<<" is meant as text')
        return []

    def _tagged_scalar(self, event: Any) -> Any:
        start, end = _extent(event)
        kind = event.tag.removeprefix(_CORE)
        if kind in _SCALAR_TAGS and kind != event.tag:
            try:
                value = _tagged(kind, event.value)
            except ValueError:
                message = f'"{_shortened(event.value)}" is not what its tag !!{kind} says'
                self._fault("RC005", message, start, end)
                return None
            if value is _UNREPRESENTABLE:
                self._unrepresentable(event.value, start, end)
            return value
        if event.tag != "!":
            self._bad_tag(event, ("map", "seq"))
        return event.value

    def _collection_tag(self, event: Any, kind: str) -> None:
        if event.tag not in ("!", _CORE + kind):
            self._bad_tag(event, ({"map", "seq"} | _SCALAR_TAGS) - {kind})

    def _bad_tag(self, event: Any, misplaced: Iterable[str]) -> None:
        start = event.start_mark.index
        tag = "!!" + event.tag.removeprefix(_CORE) if event.tag.startswith(_CORE) else event.tag
        if written := re.compile(r"(?:&\S+\s+)?(!\S*)").match(self._text, start):
            start, tag = written.start(1), written[1]
        end = start + len(tag)
        if event.tag.removeprefix(_CORE) in misplaced and event.tag.startswith(_CORE):
            self._fault("RC005", f"the value is not what its tag {tag} says", start, end)
        else:
            self._fault(
                "RC004", f'tag "{_shortened(tag)}" is not known here', start, end, "remove the tag, or quote the value"
            )

    def _odd_key(self, event: Any) -> None:
        start = event.start_mark.index
        if start and self._text.startswith("{{", start - 1):
            start -= 1
        if not self._text.startswith("{{", start):
            self._fault("RC012", "a list or a mapping cannot be a key", start, start + 1, "write the key as text")
            return
        # A line may be megabytes long and hold thousands of these, so only what stands around is looked at.
        before = re.split(r"[\r\n]", self._text[max(0, start - _SHOWN) : start])[-1]
        value, rest = _unquoted_value(re.split(r"[\r\n]", self._text[start : start + 2 * _SHOWN])[0])
        corrected = f"{before}{_quoted(value)}{rest}".strip()
        self._fault(
            "RC011",
            f'the reference "{_shortened(value)}" is not quoted, so its braces are read as a mapping',
            start,
            start + len(value),
            _quoting(corrected, value),
        )

    def _syntax(self, error: Any) -> None:
        """A parser's error in our own words."""
        if not hasattr(error, "problem_mark"):  # the reader's: a character that no YAML text may hold
            bad = _UNPRINTABLE.search(self._text)
            start = bad.start() if bad else 0
            name = f"U+{ord(bad[0]):04X}" if bad else "that YAML does not admit"
            help = 'in double quotes it can be written as an escape, such as "\\x1b"'
            self._fault("RC001", f"the control character {name} cannot stand in YAML", start, start + 1, help)
            return
        mark, opened = error.problem_mark, error.context_mark
        start = mark.index if mark is not None else len(self._text)
        complaint = _complaint(self._text, self._lines, error.problem or "", start, opened.index if opened else start)
        line, _ = self._lines.position(start)
        if any(fault.code == "RC011" and fault.span and fault.span.line == line for fault in self.faults):
            return  # the rest of a value that begins with an unquoted reference
        self._mishap(complaint)


_SHOWN: Final = 100


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _extent(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index


def _unquoted_value(text: str) -> tuple[str, str]:
    """What was meant as one value, from its ``{{`` on, and what follows it on the line."""
    closing = text.find("}}")
    end = closing + 2 if closing >= 0 else len(text)
    if closing < 0 or not re.match(r"\s*[,\]}]", text[end:]):
        comment = re.search(r"\s+#", text[end:])
        end = end + comment.start() if comment else len(text.rstrip())
    return text[:end], text[end:]


def _quoting(corrected: str, value: str) -> str:
    """The help for a value that lacks quotes: the corrected line, or as much of it as fits."""
    fitting = next((text for text in (corrected, _quoted(value)) if len(text) < _SHOWN), None)
    return f"quote it: {fitting}" if fitting else "quote the value"


def _quoted(text: str) -> str:
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


# YAML


_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@cache
def _parser_class() -> Any:
    import yaml

    if hasattr(yaml, "CSafeLoader"):
        return yaml.CSafeLoader
    warnings.warn(
        "PyYAML was built without libyaml: reading missions takes about ten times as long", RuntimeWarning, stacklevel=2
    )
    return yaml.SafeLoader


class _Complaint(NamedTuple):
    message: str
    start: int
    help: str | None = None
    length: int = 1


_CLOSING: Final = {"[": "]", "{": "}"}
_INDENT_HELP: Final = "give it the indentation of the lines it belongs to"


def _complaint(text: str, lines: Lines, problem: str, start: int, opened: int) -> _Complaint:
    """What libyaml (or PyYAML's own parser) means by a problem, and where a person would look for it."""
    number, column = lines.position(start)
    line = lines.line(number)
    before, here, opening = line[: column - 1], text[start : start + 1], text[opened : opened + 1]
    opened_line, _ = lines.position(opened)
    if "mapping values are not allowed" in problem:
        return _stray_colon(lines, number, column, start)
    if "tab character" in problem or ("\t" in before + here and not (before + here).strip()):
        tab = start - len(before) + max((before + here).find("\t"), 0)
        return _Complaint("a tab cannot indent", tab, "indent with spaces")
    if "cannot start any token" in problem:
        return _Complaint(f'an unquoted value cannot start with "{here}"', start, _quote_help(lines, start))
    if "alphabetic or numeric" in problem:
        return _Complaint(f'an unquoted value cannot start with "{opening}"', opened, _quote_help(lines, opened))
    if "end of stream" in problem or "unexpected document indicator" in problem:
        return _Complaint("the quote that opens here is never closed", opened, f"close it with {opening}")
    if "escape" in problem or "hexdecimal" in problem:
        return _Complaint(
            "this escape does not exist in double quotes",
            text.rfind("\\", 0, start + 1) if "\\" in text[: start + 1] else start,
            "write a backslash as \\\\, or use single quotes",
        )
    if "',' or" in problem:
        closing = _CLOSING.get(opening, opening)
        if number > opened_line or not line[column - 1 :].strip():
            return _Complaint(f'the "{opening}" that opens here is never closed', opened, f'close it with "{closing}"')
        help = "quote a value that holds brackets, braces or commas"
        return _Complaint(f'expected "," or "{closing}" here', start, help)
    if "expected ':'" in problem:
        return _Complaint('expected ":" after this key', opened, _INDENT_HELP, _rest(lines, opened))
    if "expected key" in problem or "expected <block end>" in problem or "expected '-' indicator" in problem:
        if before.strip():
            return _Complaint("unexpected text after the value", start, "quote the whole value", _rest(lines, start))
        kind = "list" if opening == "-" else "mapping"
        message = f"this does not line up with the {kind} that starts on line {opened_line}"
        return _Complaint(message, start, _INDENT_HELP, _rest(lines, start))
    if "sequence entries are not allowed" in problem:
        return _Complaint("a list item cannot start here", start, "start it on a line of its own, or quote the value")
    if "node content" in problem:
        return _Complaint(f'expected a value, not "{here}"' if here.strip() else "expected a value", start)
    if "document start" in problem:
        return _Complaint("unexpected text after the end of the document", start, _INDENT_HELP, _rest(lines, start))
    if "comment or line break" in problem:
        help = "start the text on the next line, or quote the value"
        return _Complaint(f'text cannot follow "{opening}" on its line', start, help, _rest(lines, start))
    if "directive" in problem:
        return _Complaint('a line cannot start with "%"', opened, "quote the value, or indent it")
    if "undefined tag handle" in problem:
        return _Complaint("this tag is not known here", opened, "remove the tag, or quote the value")
    return _Complaint(problem.replace("did not find expected", "expected"), start)


def _stray_colon(lines: Lines, number: int, column: int, start: int) -> _Complaint:
    line = lines.line(number)
    entry = re.match(r"(?P<key>\s*(?:- +)*[^\s:#'\"\[{][^:]*?:\s+)(?P<value>\S.*?)\s*$", line[: column - 1])
    if entry:
        value = entry["value"] + line[column - 1 :].rstrip()
        return _Complaint(
            'an unquoted value cannot hold ": "', start, _quoting((entry["key"] + _quoted(value)).strip(), value)
        )
    key = start - len(line[: column - 1].lstrip())
    help = "give it the indentation of the keys it belongs to, or end the line above with a colon"
    return _Complaint("a key cannot stand here: the value above it has not ended", key, help, start - key)


def _quote_help(lines: Lines, start: int) -> str:
    number, column = lines.position(start)
    value, _ = _unquoted_value(lines.line(number)[column - 1 :])
    return _quoting(_quoted(value), value)


def _rest(lines: Lines, start: int) -> int:
    number, column = lines.position(start)
    return max(len(lines.line(number).rstrip()) - column + 1, 1)


# JSON


class _JsonFault(Exception):
    def __init__(self, message: str, start: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.help = help


_SCALAR, _MAPPING, _LIST, _END = range(4)
_Event = tuple[int, Any, int, int]
"""Kind, value (of a scalar), and the offsets of its start and end."""

_JSON_TOKEN: Final = r"""[ \t\r\n]*+(?:
    (?P<mark>[{}\[\]:,])
  | (?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")
  | (?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?))(?![0-9A-Za-z_.+-])
  | (?P<word>true|false|null|NaN|-?Infinity)(?![0-9A-Za-z_])
)[ \t\r\n]*+"""
_JSON_WORDS: Final = {"true": True, "false": False, "null": None}
_SURROGATE: Final = "[\ud800-\udfff]"

_Expected = Literal["value", "item or end", "key or end", "key", "colon", "comma or end"]


def _json_events(text: str) -> Iterator[_Event]:
    """The parts of a JSON text in order, without recursion. Raises _JsonFault where the text is not JSON."""
    opened: list[int] = []
    expected: _Expected = "value"
    position = 0
    match_token = re.compile(_JSON_TOKEN, re.VERBOSE).match
    while True:
        token = match_token(text, position)
        if token is None:
            raise _json_fault(text, position, expected, opened)
        kind = token.lastgroup if token.lastgroup != "fraction" else "number"
        start, end = token.span(kind or 0)
        position = token.end()
        if kind != "mark":
            if expected in ("key", "key or end") and kind == "string":
                following: _Expected = "colon"
            elif expected in ("value", "item or end"):
                following = "comma or end"
            else:
                raise _json_fault(text, start, expected, opened)
            yield _SCALAR, _json_scalar(text, kind, token, start, end), start, end
            expected = following
        elif (mark := text[start]) in "{[" and expected in ("value", "item or end"):
            opened.append(start)
            expected = "key or end" if mark == "{" else "item or end"
            yield (_MAPPING if mark == "{" else _LIST), None, start, end
        elif mark == "," and expected == "comma or end":
            expected = "key" if text[opened[-1]] == "{" else "value"
        elif mark == ":" and expected == "colon":
            expected = "value"
        elif (
            expected.endswith("or end")
            and _CLOSING[text[opened[-1]]] == mark
            and (expected != "key or end" or mark == "}")
        ):
            opened.pop()
            expected = "comma or end"
            yield _END, None, start, end
        else:
            raise _json_fault(text, start, expected, opened)
        if not opened and expected == "comma or end":
            if position < len(text):
                raise _JsonFault("unexpected text after the end of the document", position)
            return


def _json_scalar(text: str, kind: str | None, token: re.Match[str], start: int, end: int) -> Any:
    if kind == "word":
        return _JSON_WORDS.get(text[start:end], _UNREPRESENTABLE)
    if kind == "number":
        return (_float if token["fraction"] else _integer)(text[start:end])
    if text.find("\\", start, end) < 0:
        return text[start + 1 : end - 1]
    value = json.loads(text[start:end])
    if re.search(_SURROGATE, value):
        raise _JsonFault(
            "this text holds half of a surrogate pair", start, "write both halves, or the character itself"
        )
    return value


_JSON_WANTED: Final[Mapping[_Expected, str]] = {
    "value": "expected a value",
    "item or end": 'expected a value or "]"',
    "key or end": 'expected a key in double quotes or "}"',
    "key": "expected a key in double quotes",
    "colon": 'expected ":" after the key',
}


def _json_fault(text: str, position: int, expected: _Expected, opened: list[int]) -> _JsonFault:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    if position >= len(text):
        if not opened:
            return _JsonFault("expected a value", position)
        opening = text[opened[-1]]
        help = f'close it with "{_CLOSING[opening]}"'
        return _JsonFault(f'the "{opening}" that opens here is never closed', opened[-1], help)
    here = text[position]
    if here == '"':
        try:
            json.JSONDecoder().raw_decode(text, position)
        except json.JSONDecodeError as error:
            return _json_string_fault(text, position, error)
    if here == "'":
        return _JsonFault("JSON text stands in double quotes", position)
    if here in "/#":
        return _JsonFault("JSON has no comments", position)
    if here in "}]" and text[:position].rstrip().endswith(","):
        return _JsonFault("a comma cannot stand before the end", text.rindex(",", 0, position), "remove it")
    if expected == "comma or end":
        return _JsonFault(f'expected "," or "{_CLOSING[text[opened[-1]]]}"', position)
    return _JsonFault(_JSON_WANTED[expected], position)


def _json_string_fault(text: str, start: int, error: json.JSONDecodeError) -> _JsonFault:
    if error.msg.startswith("Unterminated"):
        return _JsonFault("the quote that opens here is never closed", start)
    if error.msg.startswith("Invalid control"):
        if text[error.pos] in "\r\n":
            return _JsonFault("the quote that opens here is not closed on its line", start, "write a line break as \\n")
        return _JsonFault(f"a control character has to be written as \\u{ord(text[error.pos]):04x}", error.pos)
    return _JsonFault(
        "this escape does not exist in JSON", text.rfind("\\", 0, error.pos + 1), "write a backslash as \\\\"
    )


# Places


class _Place:
    """A node of the tree of wanted paths, and where the text has it."""

    __slots__ = ("children", "end", "is_target", "key", "start")

    def __init__(self) -> None:
        self.children: dict[str | int, _Place] = {}
        self.is_target = False
        self.key: tuple[int, int] | None = None
        self.start: int | None = None
        self.end: int | None = None

    def targets(self) -> int:
        pending, count = [self], 0
        while pending:
            place = pending.pop()
            count += place.is_target
            pending.extend(place.children.values())
        return count


def _survey(root: _Place, events: Iterator[_Event]) -> None:
    """Fill in where the wanted places are; ends when the last of them has."""
    missing = root.targets()
    stack: list[tuple[_Place, bool, int]] = []
    place, is_mapping, index = root, False, -1  # the root stands as the only item of a list without a place
    key: str | None = None
    key_at = (0, 0)
    skipped = 0
    for kind, value, start, end in events:
        if skipped:
            skipped += 1 if kind in (_MAPPING, _LIST) else -1 if kind == _END else 0
            continue
        if kind == _END:
            place.end = end
            missing -= place.is_target
            if not missing:
                return
            place, is_mapping, index = stack.pop()
            continue
        if is_mapping and key is None:
            key, key_at = value, (start, end)
            continue
        segment: str | int = index if key is None else key
        child = place.children.get(segment) if index >= 0 or is_mapping else root
        index += 1
        if child is not None and child.start is None:
            child.start, child.end = start, end
            child.key = None if key is None else key_at
            if kind == _SCALAR:
                missing -= child.is_target
                if not missing:
                    return
        key = None
        if kind != _SCALAR:
            if child is None:
                skipped = 1
            else:
                stack.append((place, is_mapping, index))
                place, is_mapping, index = child, kind == _MAPPING, 0


def _yaml_events(text: str) -> Iterator[_Event]:
    import yaml

    kinds = {
        yaml.ScalarEvent: _SCALAR,
        yaml.AliasEvent: _SCALAR,
        yaml.MappingStartEvent: _MAPPING,
        yaml.SequenceStartEvent: _LIST,
        yaml.MappingEndEvent: _END,
        yaml.SequenceEndEvent: _END,
    }
    parser = _parser_class()(text)
    written = 0  # where the last node ended: a block has no end of its own
    try:
        while (event := parser.get_event()).__class__ is not yaml.StreamEndEvent:
            kind = kinds.get(event.__class__)
            if kind is None:
                continue
            start, end = _extent(event)
            if kind == _SCALAR:
                value = getattr(event, "value", None)
                if getattr(event, "style", None) in ("|", ">"):
                    end = start + len(text[start:end].rstrip())
                yield kind, value, start, end
                written = end
            elif kind == _END:
                if end > start:
                    written = end
                yield kind, None, start, written
            else:
                yield kind, None, start, end
                written = end if end > start else written
    finally:
        parser.dispose()
