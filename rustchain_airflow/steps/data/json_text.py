"""Strict JSON: what the C parser reads fast, with the faults that it lets pass or cannot place."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from rustchain_airflow.source import Fault
from rustchain_airflow.steps.data.content import MAX_DEPTH, Content, NotADocument


class _Lax(ValueError):
    """Python's parser would accept this; JSON does not."""


def parse_json_text(content: Content) -> Any:
    """The value of a JSON text (RFC 8259).

    Duplicate keys, NaN and Infinity, numbers beyond a double, halves of surrogate pairs and nesting beyond
    `MAX_DEPTH` are refused like any other fault: NotADocument with line and column where they are known.
    """
    try:
        value = json.loads(content.text(), object_pairs_hook=_object, parse_constant=_constant)
        check_value(value, content.name)
    except (ValueError, RecursionError) as error:
        # Whatever it was, the reader of mission files knows its line.
        content.document("json")
        reason = str(error) or "not JSON"
        if isinstance(error, RecursionError):
            reason = f"nested deeper than {MAX_DEPTH} levels"
        raise NotADocument(content.name, [Fault("RC001", reason)]) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        raise _Lax(f'duplicate key "{next(key for key, _ in pairs if key in seen or seen.add(key))}"')  # type: ignore[func-returns-value]
    return value


def _constant(text: str) -> NoReturn:
    raise _Lax(f"{text} is not a JSON value")


def check_value(value: Any, name: str) -> None:
    """Raise ValueError for a value that no JSON text can hold, or that is nested beyond `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                for key in item:
                    _check_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise _Lax("a number is beyond the range of a double")
        if not below:
            return
        level = below
    raise _Lax(f"{name} is nested deeper than {MAX_DEPTH} levels")


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Lax("a text holds half of a surrogate pair") from None
