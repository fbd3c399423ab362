"""JSON text to a value, and to its events, with the place of every fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from rustchain_airflow.source.builder import CLOSING, Builder, Complaint, Stop
from rustchain_airflow.source.events import END, LIST, MAPPING, SCALAR, Event
from rustchain_airflow.source.numbers import UNREPRESENTABLE, floating, integer


class JsonBuilder(Builder):
    """Builds the value of a JSON text from its events."""

    def _value(self) -> Any:
        try:
            return self._json_value()
        except _JsonFault as error:
            self._mishap(Complaint(error.message, error.start, error.help))
            raise Stop from None

    def _json_value(self) -> Any:
        max_depth, max_nodes = self._limits.max_depth, self._limits.max_nodes
        roots: list[Any] = []
        stack: list[tuple[Any, str | None, dict[str, int]]] = []
        container: Any = roots
        key: str | None = None
        seen: dict[str, int] = {}
        nodes = 0
        for kind, value, start, end in json_events(self._text):
            if kind is END:
                value = container
                container, key, seen = stack.pop()
            else:
                nodes += 1
                if nodes > max_nodes:
                    self._stop("RC010", f"the document holds more than {max_nodes:,} values", start, start + 1)
                if kind is not SCALAR:
                    if len(stack) >= max_depth:
                        self._too_deep(start)
                    stack.append((container, key, seen))
                    container, key, seen = {} if kind is MAPPING else [], None, {}
                    continue
                if value is UNREPRESENTABLE:
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


class _JsonFault(Exception):
    def __init__(self, message: str, start: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.help = help


_TOKEN: Final = r"""[ \t\r\n]*+(?:
    (?P<mark>[{}\[\]:,])
  | (?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")
  | (?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?))(?![0-9A-Za-z_.+-])
  | (?P<word>true|false|null|NaN|-?Infinity)(?![0-9A-Za-z_])
)[ \t\r\n]*+"""
_WORDS: Final = {"true": True, "false": False, "null": None}
_SURROGATE: Final = "[\ud800-\udfff]"

_Expected = Literal["value", "item or end", "key or end", "key", "colon", "comma or end"]


def json_events(text: str) -> Iterator[Event]:
    """The parts of a JSON text in order, without recursion. Raises _JsonFault where the text is not JSON."""
    opened: list[int] = []
    expected: _Expected = "value"
    position = 0
    match_token = re.compile(_TOKEN, re.VERBOSE).match
    while True:
        token = match_token(text, position)
        if token is None:
            raise _fault_at(text, position, expected, opened)
        kind = token.lastgroup if token.lastgroup != "fraction" else "number"
        start, end = token.span(kind or 0)
        position = token.end()
        if kind != "mark":
            if expected in ("key", "key or end") and kind == "string":
                following: _Expected = "colon"
            elif expected in ("value", "item or end"):
                following = "comma or end"
            else:
                raise _fault_at(text, start, expected, opened)
            yield SCALAR, _scalar(text, kind, token, start, end), start, end
            expected = following
        elif (mark := text[start]) in "{[" and expected in ("value", "item or end"):
            opened.append(start)
            expected = "key or end" if mark == "{" else "item or end"
            yield (MAPPING if mark == "{" else LIST), None, start, end
        elif mark == "," and expected == "comma or end":
            expected = "key" if text[opened[-1]] == "{" else "value"
        elif mark == ":" and expected == "colon":
            expected = "value"
        elif (
            expected.endswith("or end")
            and CLOSING[text[opened[-1]]] == mark
            and (expected != "key or end" or mark == "}")
        ):
            opened.pop()
            expected = "comma or end"
            yield END, None, start, end
        else:
            raise _fault_at(text, start, expected, opened)
        if not opened and expected == "comma or end":
            if position < len(text):
                raise _JsonFault("unexpected text after the end of the document", position)
            return


def _scalar(text: str, kind: str | None, token: re.Match[str], start: int, end: int) -> Any:
    if kind == "word":
        return _WORDS.get(text[start:end], UNREPRESENTABLE)
    if kind == "number":
        return (floating if token["fraction"] else integer)(text[start:end])
    if text.find("\\", start, end) < 0:
        return text[start + 1 : end - 1]
    value = json.loads(text[start:end])
    if re.search(_SURROGATE, value):
        raise _JsonFault(
            "this text holds half of a surrogate pair", start, "write both halves, or the character itself"
        )
    return value


_WANTED: Final[Mapping[_Expected, str]] = {
    "value": "expected a value",
    "item or end": 'expected a value or "]"',
    "key or end": 'expected a key in double quotes or "}"',
    "key": "expected a key in double quotes",
    "colon": 'expected ":" after the key',
}


def _fault_at(text: str, position: int, expected: _Expected, opened: list[int]) -> _JsonFault:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    if position >= len(text):
        if not opened:
            return _JsonFault("expected a value", position)
        opening = text[opened[-1]]
        help = f'close it with "{CLOSING[opening]}"'
        return _JsonFault(f'the "{opening}" that opens here is never closed', opened[-1], help)
    here = text[position]
    if here == '"':
        try:
            json.JSONDecoder().raw_decode(text, position)
        except json.JSONDecodeError as error:
            return _string_fault(text, position, error)
    if here == "'":
        return _JsonFault("JSON text stands in double quotes", position)
    if here in "/#":
        return _JsonFault("JSON has no comments", position)
    if here in "}]" and text[:position].rstrip().endswith(","):
        return _JsonFault("a comma cannot stand before the end", text.rindex(",", 0, position), "remove it")
    if expected == "comma or end":
        return _JsonFault(f'expected "," or "{CLOSING[text[opened[-1]]]}"', position)
    return _JsonFault(_WANTED[expected], position)


def _string_fault(text: str, start: int, error: json.JSONDecodeError) -> _JsonFault:
    if error.msg.startswith("Unterminated"):
        return _JsonFault("the quote that opens here is never closed", start)
    if error.msg.startswith("Invalid control"):
        if text[error.pos] in "\r\n":
            return _JsonFault("the quote that opens here is not closed on its line", start, "write a line break as \\n")
        return _JsonFault(f"a control character has to be written as \\u{ord(text[error.pos]):04x}", error.pos)
    return _JsonFault(
        "this escape does not exist in JSON", text.rfind("\\", 0, error.pos + 1), "write a backslash as \\\\"
    )
