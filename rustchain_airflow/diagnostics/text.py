"""Diagnostics for people: the fault, the line it stands on, carets under it, and how to mend it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

from rustchain_airflow.diagnostics import Diagnostic, Severity

_WIDTH: Final = 120
"""Terminal cells that a source line may take; a longer one is cut around its span."""
_TAB: Final = 4
_CONTEXT: Final = 40
"""Cells that stay in front of the span when the line is cut on the left."""

_RESET: Final = "\x1b[0m"
_BOLD: Final = "\x1b[1m"
_MARGIN: Final = "\x1b[34m"
_COLORS: Final = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """The diagnostics as text, a blank line between them; ANSI colours only with ``color``.

    Text of the mission never reaches the terminal raw: control and bidirectional characters are shown as escapes.
    """
    blocks = [_block(diagnostic, color) for diagnostic in diagnostics]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many of each severity: ``2 errors, 1 warning``."""
    counts = Counter(diagnostic.severity for diagnostic in diagnostics)
    parts = [f"{counts[each]} {each}{'s' if counts[each] > 1 else ''}" for each in Severity if counts[each]]
    return ", ".join(parts) or "no findings"


def _block(diagnostic: Diagnostic, color: bool) -> str:
    def painted(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    span, severity = diagnostic.span, diagnostic.severity
    place = escaped(diagnostic.file) + (f":{span.line}:{span.column}:" if span else ":")
    head = f"{painted(place, _BOLD)} {painted(f'{severity} {diagnostic.code}', _COLORS[severity])}"
    lines = [f"{head} {escaped(diagnostic.message)}"]
    number = str(span.line) if span else ""
    margin = " " * max(len(number), 1 if span else 2)
    if span and diagnostic.source_line is not None:
        line = diagnostic.source_line
        end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
        shown, offset, length = _window(line, span.column - 1, end)
        carets = " " * offset + painted("^" * length, _COLORS[severity])
        lines += [
            painted(f"{margin} |", _MARGIN),
            f"{painted(f'{number} |', _MARGIN)} {shown}".rstrip(),
            f"{painted(f'{margin} |', _MARGIN)} {carets}",
        ]
    if diagnostic.help:
        first, *more = diagnostic.help.splitlines()
        lines.append(f"{painted(f'{margin} =', _MARGIN)} help: {escaped(first)}")
        lines += [f"{margin}         {escaped(line)}".rstrip() for line in more]
    return "\n".join(lines)


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """What is shown of a line, at which cell the carets start there, and how many they are (at least one)."""
    start = min(start, len(line))
    end = max(end, start)
    first = max(0, start - 2 * _WIDTH)  # more than is ever shown: a line may be megabytes long
    cells = _cells(line[first : start + 2 * _WIDTH])
    widths = [width for _, width in cells]
    at, stop = start - first, min(end - first, len(cells))

    left = 0
    if first or (sum(widths) >= _WIDTH and sum(widths[:at]) + min(sum(widths[at:stop]), _CONTEXT) >= _WIDTH):
        left = at
        while left and sum(widths[left - 1 : at]) <= _CONTEXT:
            left -= 1
    cut_left = first + left > 0
    room = _WIDTH - cut_left
    right = left
    while right < len(cells) and sum(widths[left : right + 1]) <= room:
        right += 1
    cut_right = first + right < len(line)
    if cut_right and right > left and sum(widths[left:right]) == room:
        right -= 1
    shown = "…" * cut_left + "".join(text for text, _ in cells[left:right]) + "…" * cut_right
    return shown, cut_left + sum(widths[left:at]), max(sum(widths[at : min(stop, right)]), 1)


def _cells(text: str) -> list[tuple[str, int]]:
    """Each character as it is shown, and how many cells of a terminal that takes."""
    cells: list[tuple[str, int]] = []
    column = 0
    for character in text:
        if character == "\t":
            shown = " " * (_TAB - column % _TAB)
            width = len(shown)
        else:
            shown = escaped(character)
            width = len(shown) if shown != character else _width(character)
        cells.append((shown, width))
        column += width
    return cells


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def escaped(text: str) -> str:
    """The text with control, format and bidirectional characters written as escapes such as ``\\u202e``."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNSAFE else character
        for character in text
    )
