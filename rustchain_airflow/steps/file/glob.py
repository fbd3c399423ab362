"""Patterns for names and paths: `*`, `?`, `[a-z]`, and `**` for any number of folders."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def compile_glob(pattern: str) -> re.Pattern[str]:
    """An expression whose ``fullmatch`` holds for the paths a pattern means.

    A pattern without a slash speaks of one name. ``*``, ``?`` and ``[...]`` never match a slash; ``**`` as a whole
    segment matches any number of folders, and everything below at the end. Hidden names are names like others.
    """
    *folders, last = pattern.split("/")
    expression = "".join("(?:[^/]+/)*" if part == "**" else f"{_segment(part)}/" for part in folders)
    return re.compile(expression + (".+" if last == "**" else _segment(last)), re.DOTALL)


def _segment(part: str) -> str:
    expression = ""
    rest = part
    while rest:
        letter, rest = rest[0], rest[1:]
        if letter == "*":
            rest = rest.lstrip("*")
            expression += "[^/]*"
        elif letter == "?":
            expression += "[^/]"
        elif letter == "[" and (closing := rest.find("]", 2 if rest[:1] == "!" else 1)) > 0:
            inside, rest = rest[:closing], rest[closing + 1 :]
            negated = inside.startswith("!")
            # Only the dash keeps a meaning inside brackets.
            letters = re.sub(r"([\\\[\]^&|~])", r"\\\1", inside.removeprefix("!"))
            expression += f"(?!/)[{'^' if negated else ''}{letters}]"
        else:
            expression += re.escape(letter)
    return expression


def _readable(pattern: str) -> str:
    if not pattern:
        raise PydanticCustomError("glob", "a pattern is not empty")
    try:
        compile_glob(pattern)
    except re.error as error:
        raise PydanticCustomError("glob", "not a pattern: {error}", {"error": str(error)}) from None
    return pattern


Glob = Annotated[str, AfterValidator(_readable)]
"""A pattern that `compile_glob` takes."""
