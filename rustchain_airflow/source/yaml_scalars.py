"""What the scalars of a YAML text mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from rustchain_airflow.source.numbers import INTEGER, UNREPRESENTABLE, floating, integer

_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
TYPED: Final = frozenset({"", *"0123456789+-.~nNtTfF"})
"""What a plain scalar that is no text can start with."""


def meaning(text: str) -> Any:
    """What a plain scalar means: YAML 1.2 core, but a leading zero makes text (semantics §1.1)."""
    if text in _WORDS:
        return _WORDS[text]
    if INTEGER.fullmatch(text):
        return integer(text)
    if _FLOAT.fullmatch(text):
        return floating(text)
    return UNREPRESENTABLE if _NOT_FINITE.fullmatch(text) else text


cached_meaning: Final = lru_cache(maxsize=8192)(meaning)
"""`meaning`, remembered: for short texts, since a mission repeats them."""


CORE: Final = "tag:yaml.org,2002:"
SCALAR_TAGS: Final = frozenset({"str", "int", "float", "bool", "null"})


def tagged(kind: str, text: str) -> Any:
    """A scalar read as its core tag says. Raises ValueError when it has another form."""
    if kind == "str":
        return text
    value = meaning(text)
    if kind == "null" and value is None:
        return None
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int":
        if value is UNREPRESENTABLE or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if re.fullmatch(r"[-+]?[0-9]+", text):
            return integer(text)
    if kind == "float":
        if value is UNREPRESENTABLE:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return floating(text) if _FLOAT.fullmatch(text) else float(value)
    raise ValueError(text)
