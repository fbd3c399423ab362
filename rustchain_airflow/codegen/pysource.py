"""Python literals and calls as source text that `ruff format` leaves as it is."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

WIDTH: Final = 88
"""The line length of a formatter that nobody configured: what the reader of a generated file has."""

_INDENT: Final = 4


@dataclass(frozen=True, slots=True)
class Name:
    """An expression that is printed as it stands: a variable, an attribute."""

    text: str


@dataclass(frozen=True, slots=True)
class Commented:
    """An item with a remark behind it, ``trigger_rule="one_done",  # why``, or before it where the line is full."""

    value: Any
    comment: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call; ``exploded`` puts every argument on a line of its own even where one line would do."""

    function: str
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    exploded: bool = False


def expression(value: Any, *, indent: int = 0, column: int = 0, trailing: int = 0) -> str:
    """Source text of a JSON value, timedelta, Name, Call, Commented, or containers of these.

    ``indent`` is that of the line the text starts on, ``column`` where on it the text starts, ``trailing`` how much
    follows it on its last line. Raises TypeError for any other type: nothing is printed by its ``repr``.
    """
    flat = _flat(value)
    if flat is not None and column + _width(flat) + trailing <= WIDTH:
        return flat
    brackets = _brackets(value)
    if brackets is None:
        assert flat is not None
        return _text(value, indent) if isinstance(value, str) else flat
    opening, items, closing = brackets
    if not items:
        return opening + closing
    pad = " " * (indent + _INDENT)
    lines = []
    for prefix, item in items:
        value, remark = (item.value, one_line(item.comment)) if isinstance(item, Commented) else (item, "")
        body = expression(value, indent=len(pad), column=len(pad) + _width(prefix), trailing=1)
        line = f"{pad}{prefix}{body},"
        if remark and ("\n" in body or _width(line) + len("  # ") + _width(remark) > WIDTH):
            lines.extend(comment(remark, indent=len(pad)))
        elif remark:
            line += f"  # {remark}"
        lines.append(line)
    return "\n".join([opening, *lines, " " * indent + closing])


def comment(text: str, *, indent: int = 0) -> list[str]:
    """A remark on lines of its own."""
    pad = " " * indent + "# "
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent=pad, subsequent_indent=pad, break_long_words=False, break_on_hyphens=False
    )


def statement(prefix: str, value: Any, *, indent: int = 0) -> str:
    """``prefix`` and an expression, as a whole statement at ``indent``."""
    pad = " " * indent
    return pad + prefix + expression(value, indent=indent, column=indent + _width(prefix))


def one_line(text: str) -> str:
    """Text for a comment: no line break and no unprintable character survives."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def literal_text(text: str) -> str:
    """A string literal in the quotes a formatter would choose; everything unprintable is escaped."""
    quote = '"' if text.count('"') <= text.count("'") else "'"
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def duration(value: timedelta) -> Call:
    """``timedelta(minutes=5)``: the largest unit that says it in a whole number."""
    microseconds = value // timedelta(microseconds=1)
    for unit, size in _UNITS:
        if microseconds % size == 0 and (microseconds or unit == "seconds"):
            return Call("timedelta", keywords={unit: microseconds // size})
    raise AssertionError("a microsecond divides every timedelta")


_UNITS: Final = (
    ("days", 86_400_000_000),
    ("hours", 3_600_000_000),
    ("minutes", 60_000_000),
    ("seconds", 1_000_000),
    ("milliseconds", 1_000),
    ("microseconds", 1),
)


def docstring(lines: Iterable[str]) -> str:
    """A triple-quoted docstring. No text in it can end it: quotes and backslashes are escaped where they could."""
    text = "\n".join("".join(_printable(character) for character in line).rstrip() for line in lines).strip()
    text = text.replace('"""', '\\"\\"\\"')
    if text.startswith('"'):
        text = " " + text
    if text.endswith('"'):
        text = text[:-1] + '\\"'
    return f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'


def _printable(character: str) -> str:
    if character == "\\" or not (character.isprintable() or character in "\n\t"):
        return _escaped(character, "")
    return "    " if character == "\t" else character


def _escaped(character: str, quote: str) -> str:
    if character == quote or character == "\\":
        return "\\" + character
    if character.isprintable():
        return character
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or ascii(character)[1:-1]


def _flat(value: Any) -> str | None:
    """The value on one line; None where a part of it insists on lines of its own."""
    match value:
        case str():
            return literal_text(value)
        case None | bool():
            return repr(value)
        case int():
            return repr(value)
        case float():
            if math.isfinite(value):
                return repr(value).replace("e+", "e")
            return f'float("{value}")'
        case Name():
            return value.text
        case timedelta():
            return _flat(duration(value))
        case Commented():
            return None
        case Call() if value.exploded:
            return None
    brackets = _brackets(value)
    if brackets is None:
        raise TypeError(f"no source text for {type(value).__name__}")
    opening, items, closing = brackets
    parts = []
    for prefix, item in items:
        text = _flat(item)
        if text is None:
            return None
        parts.append(prefix + text)
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    return opening + ", ".join(parts) + comma + closing


def _brackets(value: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    match value:
        case Call():
            arguments = [("", argument) for argument in value.arguments]
            keywords = [(f"{name}=", argument) for name, argument in value.keywords.items()]
            return f"{value.function}(", arguments + keywords, ")"
        case timedelta():
            return _brackets(duration(value))
        case Mapping():
            return "{", [(f"{_key(key)}: ", item) for key, item in value.items()], "}"
        case list():
            return "[", [("", item) for item in value], "]"
        case tuple():
            return "(", [("", item) for item in value], ")"
    return None


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"no source text for a key of type {type(key).__name__}")
    return literal_text(key)


def _text(text: str, indent: int) -> str:
    """A string too long for its line: in brackets, cut after its line breaks and between its words."""
    inner = indent + _INDENT
    flat = literal_text(text)
    if inner + _width(flat) <= WIDTH:
        parts = [flat]
    else:
        parts = [part for line in _LINES.findall(text) for part in _cut(line, WIDTH - inner)]
        if len(parts) == 1:
            return flat
    pad = " " * inner
    return "(\n" + "".join(f"{pad}{part}\n" for part in parts) + " " * indent + ")"


def _cut(line: str, width: int) -> Iterator[str]:
    """Literals that together say ``line``, none wider than ``width`` where a space allows it."""
    held = ""
    for word in _WORDS.findall(line):
        if held and _width(literal_text(held + word)) > width:
            yield literal_text(held)
            held = ""
        held += word
    yield literal_text(held)


_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")
_WORDS: Final = re.compile(r"[^ ]* +|[^ ]+")


def _width(text: str) -> int:
    """Columns the text takes, as formatters count them: wide characters two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me") else 1
