"""References in mission text: ``{{ step.output.field }}`` to a Template of text and Reference, and back to values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

Segment = str | int

RESERVED: Final = frozenset({"env", "context", "config", "mission", "steps"})
"""First segments with a meaning of their own; refused as step ids (semantics §7.2)."""

BUILTINS: Final = frozenset({"timestamp", "date", "uuid", "run_id"})
"""Bare names that every mission has (semantics §7.3)."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""No value: told apart from null, which is one."""


class AsWritten(Exception):
    """Raised by a lookup for a name that nobody knows: the text stays as written (semantics §7.3)."""


class Reference(NamedTuple):
    """A dotted path into what a run knows, optionally with a default (semantics §7.1)."""

    segments: tuple[Segment, ...]
    default: Any = MISSING
    text: str = ""
    """The whole reference as written, braces included."""

    @property
    def head(self) -> str:
        return str(self.segments[0])

    @property
    def path(self) -> str:
        """The path in its canonical spelling, without braces and default."""
        return spell(self.segments)

    @property
    def step_id(self) -> str | None:
        """The step this reads, when it is written as a step reference (``x.output…`` or ``steps.x…``)."""
        if self.head == "steps":
            return str(self.segments[1]) if len(self.segments) > 1 else None
        if self.head in RESERVED or len(self.segments) < 2:
            return None
        return self.head

    @property
    def step_path(self) -> tuple[Segment, ...]:
        """What follows the step id: ``("output", "field")``."""
        return self.segments[2:] if self.head == "steps" else self.segments[1:]


class Template(NamedTuple):
    """Text with references in it."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def whole(self) -> Reference | None:
        """The reference, when the text is one and nothing else."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Reference) else None


_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_STRING = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'"
_LITERAL = rf"{_STRING}|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|\[\s*\]|\{{\s*\}}"
_STEP = rf"\.[A-Za-z0-9_]+|\[\s*(?:-?[0-9]+|{_STRING})\s*\]"
_REFERENCE = re.compile(
    rf"\{{\{{\s*(?P<path>{_NAME}(?:{_STEP})*)\s*(?:\|\s*default\(\s*(?P<default>{_LITERAL})\s*\)\s*)?\}}\}}"
)
_SEGMENT = re.compile(rf"\.?(?P<name>[A-Za-z0-9_]+)|\[\s*(?:(?P<index>-?[0-9]+)|(?P<key>{_STRING}))\s*\]")
_OPENING = re.compile(r"\\?\{\{")
_LEGACY = re.compile(rf"(?<!\{{)\{{(?P<id>{_NAME})_(?P<kind>response|result|context)\}}(?!\}})")
_PLAIN = re.compile(r"[A-Za-z0-9_]+")


def holds_reference(text: str) -> bool:
    """Whether rendering could change the text; a cheap test before `parse`."""
    return "{{" in text


@lru_cache(maxsize=4096)
def parse(text: str) -> Template:
    """Split text into literal parts and references.

    What does not match the grammar is text: Go templates, Jinja, f-strings (semantics §7.6). ``\\{{``
    is a literal ``{{``.
    """
    parts: list[str | Reference] = []
    literal: list[str] = []
    position = 0
    while opening := _OPENING.search(text, position):
        literal.append(text[position : opening.start()])
        if opening.group().startswith("\\"):
            literal.append("{{")
            position = opening.end()
        elif match := _REFERENCE.match(text, opening.start()):
            if pending := "".join(literal):
                parts.append(pending)
            literal.clear()
            parts.append(_reference(match))
            position = match.end()
        else:
            literal.append("{")
            position = opening.start() + 1
    literal.append(text[position:])
    if pending := "".join(literal):
        parts.append(pending)
    return Template(tuple(parts))


def _reference(match: re.Match[str]) -> Reference:
    default = match["default"]
    return Reference(
        segments=tuple(_segments(match["path"])),
        default=MISSING if default is None else _literal(default),
        text=match.group(),
    )


def _segments(path: str) -> Iterator[Segment]:
    for match in _SEGMENT.finditer(path):
        if match["index"] is not None:
            yield int(match["index"])
        elif match["key"] is not None:
            yield _literal(match["key"])
        else:
            yield match["name"]


def _literal(text: str) -> Any:
    if text.startswith("'"):
        text = json.dumps(re.sub(r"\\(.)", r"\1", text[1:-1]))
    try:
        return json.loads(text)
    except ValueError:  # an escape JSON does not know, or a raw line break: the characters themselves
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def parse_path(path: str) -> Reference:
    """A reference from its path alone, as `spell` writes it. Raises ValueError when it is not one."""
    template = parse("{{" + path + "}}")
    if template.whole is None:
        raise ValueError(f"not a reference: {path}")
    return template.whole


def spell(segments: tuple[Segment, ...]) -> str:
    """The canonical spelling of a path: ``a.b[0]["my key"]``."""
    head, *rest = segments
    return str(head) + "".join(
        f"[{segment}]"
        if isinstance(segment, int)
        else f".{segment}"
        if _PLAIN.fullmatch(segment)
        else f"[{json.dumps(segment, ensure_ascii=False)}]"
        for segment in rest
    )


def legacy_references(text: str) -> Iterator[tuple[str, str, str]]:
    """The single-brace names of semantics §7.9, as (text as written, step id, kind)."""
    for match in _LEGACY.finditer(text):
        yield match.group(), match["id"], match["kind"]


def strings(value: Any, path: tuple[Segment, ...] = ()) -> Iterator[tuple[tuple[Segment, ...], str]]:
    """Every string inside a JSON value with its path, keys excluded (semantics §7.1)."""
    pending: list[tuple[tuple[Segment, ...], Any]] = [(path, value)]
    while pending:
        here, item = pending.pop()
        if isinstance(item, str):
            yield here, item
        elif isinstance(item, Mapping):
            pending.extend(((*here, key), item[key]) for key in reversed(item))
        elif isinstance(item, (list, tuple)):
            pending.extend(((*here, index), item[index]) for index in reversed(range(len(item))))


Resolve = Callable[[Reference], Any]


def render(value: Any, resolve: Resolve, bindings: Mapping[str, Reference] | None = None) -> Any:
    """The value with every reference replaced, in a single pass (semantics §7.5, §7.6).

    ``bindings`` maps references as written to the ones they mean. ``resolve`` returns a value, or
    raises AsWritten for a name nobody knows; whatever else it raises goes through.
    """
    bindings = bindings or {}
    if isinstance(value, str):
        return _render_text(value, resolve, bindings)
    if isinstance(value, Mapping):
        return {key: render(item, resolve, bindings) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render(item, resolve, bindings) for item in value]
    return value


def _render_text(text: str, resolve: Resolve, bindings: Mapping[str, Reference]) -> Any:
    template = parse_with(text, bindings)
    if template is None:
        return text
    if (only := template.whole) is not None:
        try:
            return resolve(bindings.get(only.text, only))
        except AsWritten:
            return only.text
    return "".join(part if isinstance(part, str) else _as_text(part, resolve, bindings) for part in template.parts)


def parse_with(text: str, bindings: Mapping[str, Reference]) -> Template | None:
    """`parse`, and the single-brace names that ``bindings`` knows as references too; None for plain text."""
    braces = holds_reference(text)
    legacy = [written for written in bindings if not written.startswith("{{") and written in text]
    if not braces and not legacy:
        return None
    parts = parse(text).parts if braces else (text,)
    if not legacy:
        return Template(parts)
    split = re.compile(r"(?<!\{)(" + "|".join(map(re.escape, legacy)) + r")(?!\})")
    found: list[str | Reference] = []
    for part in parts:
        if isinstance(part, Reference):
            found.append(part)
            continue
        for place, piece in enumerate(split.split(part)):
            if place % 2:
                found.append(Reference(bindings[piece].segments, text=piece))
            elif piece:
                found.append(piece)
    return Template(tuple(found))


def _as_text(reference: Reference, resolve: Resolve, bindings: Mapping[str, Reference]) -> str:
    try:
        value = resolve(bindings.get(reference.text, reference))
    except AsWritten:
        return reference.text
    return as_text(value)


def as_text(value: Any) -> str:
    """A value inserted into other text: JSON for all but text itself (semantics §7.5)."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def descend(value: Any, path: tuple[Segment, ...]) -> Any:
    """Follow a path into a JSON value; MISSING where it ends in nothing."""
    for segment in path:
        if isinstance(value, Mapping):
            if str(segment) not in value:
                return MISSING
            value = value[str(segment)]
        elif isinstance(value, list):
            try:
                value = value[int(segment)]
            except (ValueError, IndexError):
                return MISSING
        else:
            return MISSING
    return value
