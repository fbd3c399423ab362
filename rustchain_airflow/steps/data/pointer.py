"""JSON Pointer (RFC 6901): one part of a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from rustchain_airflow.steps.sdk import StepError, StepRefused

_INDEX = re.compile(r"0|[1-9][0-9]*")
_SHOWN_KEYS = 10


def resolve_pointer(value: Any, pointer: str) -> Any:
    """The part of ``value`` that ``pointer`` names; "" is the whole.

    Raises StepRefused for text that is no pointer, StepError where there is no such part, naming what exists there.
    """
    for position, segment in enumerate(segments := split_pointer(pointer)):
        place = "/" + "/".join(segments[:position]) if position else "the root"
        if isinstance(value, dict):
            name = segment.replace("~1", "/").replace("~0", "~")
            if name not in value:
                raise StepError(f'pointer "{pointer}": {place} has no "{name}"; {_keys(value, name)}')
            value = value[name]
        elif isinstance(value, list):
            if not _INDEX.fullmatch(segment) or len(segment) > 18 or int(segment) >= len(value):
                raise StepError(f'pointer "{pointer}": {place} is a list of {len(value)}, it has no item "{segment}"')
            value = value[int(segment)]
        else:
            raise StepError(f'pointer "{pointer}": {place} is not an object or a list, it has no "{segment}"')
    return value


def split_pointer(pointer: str) -> list[str]:
    """The segments, still escaped. Raises StepRefused for text that is no pointer."""
    if pointer and not pointer.startswith("/"):
        raise StepRefused(f'pointer "{pointer}" does not start with "/"; write "/{pointer}"')
    if re.search("~(?![01])", pointer):
        raise StepRefused(f'pointer "{pointer}": "~" is written "~0"')
    return pointer.split("/")[1:]


def join_pointer(path: Sequence[str | int]) -> str:
    """The pointer of a path of keys and indices; "" is the whole."""
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in path)


def _keys(value: dict[str, Any], wanted: str) -> str:
    if not value:
        return "it is empty"
    if near := get_close_matches(wanted, value, n=1):
        return f'did you mean "{near[0]}"?'
    names = ", ".join(f'"{name}"' for name in list(value)[:_SHOWN_KEYS])
    more = len(value) - _SHOWN_KEYS
    return f"it has {names}" + (f" and {more} more" if more > 0 else "")
