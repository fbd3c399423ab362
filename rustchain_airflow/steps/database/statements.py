"""SQL text: where statements end, and where placeholders stand; never inside strings, names or comments."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rustchain_airflow.steps.sdk import StepRefused


class Dialect(StrEnum):
    """How a kind of database reads SQL text."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    OTHER = "other"


class Token(NamedTuple):
    """A piece of SQL text. ``kind`` is quoted, comment, blank, word, end, sign, or the style of a placeholder."""

    kind: str
    text: str


QUESTION, PERCENT, NUMBERED, NAMED = "?", "%s", "$1", ":name"
_POSITIONAL: Final = (NUMBERED, PERCENT, QUESTION)

_STRING = r"'(?:[^']|'')*(?:'|\Z)"
_ESCAPED_STRING = r"'(?:[^'\\]|''|\\.)*(?:'|\\?\Z)"
_DOUBLE_QUOTED = r'"(?:[^"]|"")*(?:"|\Z)'
_ESCAPED_DOUBLE_QUOTED = r'"(?:[^"\\]|""|\\.)*(?:"|\\?\Z)'
_BACKQUOTED = r"`(?:[^`]|``)*(?:`|\Z)"
_LINE_COMMENT = r"--[^\n]*"
_BLOCK_COMMENT = r"/\*.*?(?:\*/|\Z)"

_QUOTED: Final = {
    Dialect.POSTGRESQL: rf"(?<![\w$])[eE]{_ESCAPED_STRING}|{_STRING}|{_DOUBLE_QUOTED}",
    Dialect.MYSQL: rf"{_ESCAPED_STRING}|{_ESCAPED_DOUBLE_QUOTED}|{_BACKQUOTED}",
    Dialect.SQLITE: rf"{_STRING}|{_DOUBLE_QUOTED}|{_BACKQUOTED}|\[[^\]]*(?:\]|\Z)",
    Dialect.OTHER: rf"{_STRING}|{_DOUBLE_QUOTED}|{_BACKQUOTED}",
}
_COMMENT: Final = {
    Dialect.POSTGRESQL: _LINE_COMMENT,  # a block comment may hold others: see _end_of_comment
    Dialect.MYSQL: rf"--(?=\s|\Z)[^\n]*|#[^\n]*|{_BLOCK_COMMENT}",
    Dialect.SQLITE: rf"{_LINE_COMMENT}|{_BLOCK_COMMENT}",
    Dialect.OTHER: rf"{_LINE_COMMENT}|{_BLOCK_COMMENT}",
}
_REST: Final = (
    r"(?P<blank>\s+)"
    r"|(?P<end>;)"
    r"|(?P<numbered>\$[1-9][0-9]*(?![\w$]))"
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<number>\d[\w.]*)"
    r"|(?P<percent>%s(?!\w))"
    r"|(?P<named>(?<![\w:\]\)\"'`]):[^\W\d]\w*)"
    r"|(?P<cast>::|:=)"
    r"|(?P<doubled>\?\?)"
    r"|(?P<question>\?)"
    r"|(?P<sign>.)"
)
_POSTGRESQL_QUESTION_OPERATORS: Final = r"(?P<operator>@\?|\?&|\?\|(?!\|))|"
_PATTERNS: Final = {
    dialect: re.compile(
        rf"(?P<quoted>{_QUOTED[dialect]})|(?P<comment>{_COMMENT[dialect]})|"
        + (_POSTGRESQL_QUESTION_OPERATORS if dialect is Dialect.POSTGRESQL else "")
        + _REST,
        re.DOTALL,
    )
    for dialect in Dialect
}
_DOLLAR_QUOTE = re.compile(r"(?<![\w$])\$(?:[^\W\d]\w*)?\$")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_DELIMITER = re.compile(r"^[ \t]*delimiter[ \t]+(\S+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_STYLES: Final = {"numbered": NUMBERED, "percent": PERCENT, "question": QUESTION, "named": NAMED}


def tokens(text: str, dialect: Dialect) -> Iterator[Token]:
    """The text in pieces that add up to it."""
    position, pattern = 0, _PATTERNS[dialect]
    while position < len(text):
        if dialect is Dialect.POSTGRESQL:
            if text.startswith("/*", position):
                end = _end_of_comment(text, position)
                yield Token("comment", text[position:end])
                position = end
                continue
            if text[position] == "$" and (quote := _DOLLAR_QUOTE.match(text, position)):
                found = text.find(quote[0], quote.end())
                end = len(text) if found < 0 else found + len(quote[0])
                yield Token("quoted", text[position:end])
                position = end
                continue
        match = pattern.match(text, position)
        assert match is not None
        assert match.lastgroup is not None
        yield Token(_STYLES.get(match.lastgroup, match.lastgroup), match[0])
        position = match.end()


def _end_of_comment(text: str, position: int) -> int:
    """Where a block comment ends, with the comments inside it."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


# --- statements -----------------------------------------------------------------------------------


def split(text: str, dialect: Dialect) -> list[str]:
    """The statements of a text, each without its closing semicolon; what holds only comments is left out.

    Bodies of triggers, functions and procedures stay whole. ``DELIMITER`` lines, as the MySQL client reads them,
    are understood for MySQL.
    """
    if dialect is Dialect.MYSQL and _DELIMITER.search(text):
        return _split_by_delimiters(text)
    statements: list[str] = []
    current: list[Token] = []
    nesting = _Nesting(dialect)
    for token in tokens(text, dialect):
        if token.kind == "end" and not nesting.depth and _is_complete(current, dialect):
            _keep(current, statements)
            current, nesting = [], _Nesting(dialect)
        else:
            current.append(token)
            nesting.see(token)
    _keep(current, statements)
    return statements


def words(statement: str, dialect: Dialect) -> list[str]:
    """The words of a statement outside strings, names and comments, in capitals."""
    return [token.text.upper() for token in tokens(statement, dialect) if token.kind == "word"]


def _keep(current: Sequence[Token], statements: list[str]) -> None:
    if any(token.kind not in ("blank", "comment") for token in current):
        statements.append("".join(token.text for token in current).strip())


def _is_complete(current: Sequence[Token], dialect: Dialect) -> bool:
    """Whether a semicolon ends the statement; inside a SQLite trigger it does not."""
    if dialect is not Dialect.SQLITE or not any(
        token.kind == "word" and token.text.upper() == "TRIGGER" for token in current
    ):
        return True
    return sqlite3.complete_statement("".join(token.text for token in current) + ";")


class _Nesting:
    """How deep in the body of a routine a statement is: BEGIN … END, and CASE … END inside one."""

    _ROUTINES: Final = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})

    def __init__(self, dialect: Dialect) -> None:
        self.depth = 0
        self._dialect = dialect
        self._first = self._last = ""
        self._in_routine = False

    def see(self, token: Token) -> None:
        if token.kind in ("blank", "comment"):
            return
        if self._last == "END":  # of a loop or a condition, which opened without being counted
            self.depth += token.text.upper() in ("IF", "LOOP", "WHILE", "REPEAT", "FOR")
        word = token.text.upper() if token.kind == "word" else ""
        if word and not self._first:
            self._first = word
        if self._first == "CREATE" and word in self._ROUTINES:
            self._in_routine = True
        if self._opens(word):
            self.depth += 1
        elif word == "END" and self.depth:
            self.depth -= 1
            self._last = word
            return
        self._last = word if word != "END" else ""

    def _opens(self, word: str) -> bool:
        if self._dialect is Dialect.POSTGRESQL:
            return (self._last == "BEGIN" and word == "ATOMIC") or (word == "CASE" and self.depth > 0)
        if self._dialect is Dialect.MYSQL:
            return self._in_routine and (word == "BEGIN" or (word == "CASE" and self._last != "END" and self.depth > 0))
        return False


def _split_by_delimiters(text: str) -> list[str]:
    statements: list[str] = []
    delimiter, position = ";", 0
    for line in [*_DELIMITER.finditer(text), None]:
        part = text[position : line.start() if line else len(text)]
        if delimiter == ";":
            statements += split(part, Dialect.MYSQL)
        else:
            current = ""
            for token in tokens(part, Dialect.MYSQL):
                current += token.text
                if token.kind not in ("quoted", "comment") and current.endswith(delimiter):
                    _keep(list(tokens(current.removesuffix(delimiter), Dialect.MYSQL)), statements)
                    current = ""
            _keep(list(tokens(current, Dialect.MYSQL)), statements)
        if line:
            delimiter, position = line[1], line.end()
    return statements


# --- placeholders ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder in a statement."""

    key: str
    """``p1``, ``p2`` … by position, or the name."""
    as_json: bool = False
    """It is cast to JSON, so that a list is bound as JSON there, not as an array."""


Bound = list[str | Slot]
"""A statement as text and slots."""


def bind(
    statements: Sequence[str], parameters: Sequence[Any] | Mapping[str, Any] | None, dialect: Dialect
) -> list[Bound]:
    """The statements with their placeholders found and counted.

    A list is bound by ``$1``, else ``%s``, else ``?``: the first of these styles that the text has, and the others
    are left alone; ``?`` and ``%s`` count on through all statements. A map is bound by ``:name``. In PostgreSQL,
    ``?|``, ``?&`` and ``@?`` are operators, and ``??`` is a single question mark. Raises StepRefused where
    placeholders and parameters do not fit together.
    """
    parts = [list(tokens(statement, dialect)) for statement in statements]
    present = {token.kind for tokens_of in parts for token in tokens_of}
    style = _style(present, parameters, dialect)
    keys: list[str] = []
    bound: list[Bound] = []
    for statement_tokens in parts:
        pieces: Bound = []
        for index, token in enumerate(statement_tokens):
            if token.kind == style:
                key = _key(token, len(keys) + 1)
                keys.append(key)
                pieces.append(Slot(key, _is_cast_to_json(statement_tokens, index)))
            elif token.kind == "doubled" and style == QUESTION:
                pieces.append("?")
            else:
                pieces.append(token.text)
        bound.append(pieces)
    _check(keys, style, parameters)
    return bound


def _style(present: set[str], parameters: Sequence[Any] | Mapping[str, Any] | None, dialect: Dialect) -> str | None:
    if isinstance(parameters, Mapping):
        if NAMED not in present and (other := [style for style in _POSITIONAL if style in present]):
            raise StepRefused(f"parameters is a map, so the query must say :name where it says {other[0]}")
        return NAMED
    found = next((style for style in _POSITIONAL if style in present), None)
    if parameters is not None:
        if found is None and NAMED in present:
            raise StepRefused("the query says :name, so parameters must be a map")
        return found
    # without parameters, % is a sign like others, and ? is an operator of PostgreSQL
    if found == NUMBERED or (found == QUESTION and dialect in (Dialect.SQLITE, Dialect.MYSQL)):
        raise StepRefused(f"the query has a placeholder {found}, but there are no parameters")
    return None


def _key(token: Token, position: int) -> str:
    if token.kind == NAMED:
        return token.text[1:]
    return f"p{token.text[1:]}" if token.kind == NUMBERED else f"p{position}"


def _is_cast_to_json(statement: Sequence[Token], index: int) -> bool:
    following = [token.text.lower() for token in statement[index + 1 : index + 5] if token.kind != "blank"]
    return following[:2] in (["::", "json"], ["::", "jsonb"], ["as", "json"], ["as", "jsonb"])


def _check(keys: Sequence[str], style: str | None, parameters: Sequence[Any] | Mapping[str, Any] | None) -> None:
    if isinstance(parameters, Mapping):
        for key in keys:
            if key not in parameters:
                near = get_close_matches(key, parameters, n=1)
                raise StepRefused(
                    f"the query says :{key}, which is not in parameters" + (f"; is it {near[0]}?" if near else "")
                )
        if unused := [name for name in parameters if name not in keys]:
            raise StepRefused(f"the query does not use the parameters {', '.join(unused)}; it says :name for each")
    elif parameters is not None:
        wanted = set(keys)
        given = {f"p{number}" for number in range(1, len(parameters) + 1)}
        if style == NUMBERED and (beyond := sorted(wanted - given)):
            raise StepRefused(f"the query says ${beyond[0][1:]}, but there are {_count(len(parameters))}")
        if style == NUMBERED and (unused := sorted(given - wanted)):
            raise StepRefused(f"the query does not use parameter ${unused[0][1:]}; there are {_count(len(parameters))}")
        if wanted != given:
            placeholders = f"{len(keys)} placeholder{'s' * (len(keys) != 1)}" + (f" {style}" if style else "")
            raise StepRefused(f"the query has {placeholders}, but there are {_count(len(parameters))}")


def _count(number: int) -> str:
    return f"{number} parameter{'s' * (number != 1)}"


def spell(bound: Bound, paramstyle: str) -> tuple[str, list[Slot]]:
    """A statement in the driver's style of placeholders (PEP 249), and its slots in order."""
    slots: list[Slot] = []
    text: list[str] = []
    doubles_percent = paramstyle in ("format", "pyformat")
    for piece in bound:
        if isinstance(piece, str):
            text.append(piece.replace("%", "%%") if doubles_percent else piece)
            continue
        slots.append(piece)
        text.append(_spelled(piece.key, len(slots), paramstyle))
    return "".join(text), slots


def _spelled(key: str, position: int, paramstyle: str) -> str:
    match paramstyle:
        case "pyformat":
            return f"%({key})s"
        case "format":
            return "%s"
        case "named":
            return f":{key}"
        case "numeric":
            return f":{position}"
        case "numeric_dollar":
            return f"${position}"
    return "?"
