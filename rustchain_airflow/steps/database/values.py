"""Values between databases and JSON, both ways, without loss where JSON has no such type."""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from rustchain_airflow.steps.database.statements import Dialect, Slot

PLAIN: Final[frozenset[type]] = frozenset({str, int, bool, type(None)})
"""Types that are JSON as they are."""

PLAIN_IN_CSV: Final[frozenset[type]] = PLAIN - {bool}
"""Types that `csv` writes as they are."""


def to_json(value: Any) -> Any:
    """A database value as JSON.

    Decimals are numbers where a JSON number holds them exactly, else text; NaN and infinities are text; dates and
    times ISO 8601, intervals ISO 8601 durations; bytes base64; arrays lists; JSON as it is; all else text.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _duration(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_fields"):
        return [to_json(item) for item in value]
    return str(value)


def to_csv(value: Any) -> Any:
    """A database value as `csv` writes it: as in JSON, with null empty and objects and lists as compact JSON."""
    value = to_json(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return _not_finite(float(value)) if not value.is_snan() else "NaN"
    if value == value.to_integral_value() and value.adjusted() < 18:
        return int(value)
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)


def _duration(value: datetime.timedelta) -> str:
    """An interval as ISO 8601: ``P1DT2H3M4.5S``, negative with a sign before all."""
    sign, value = ("-", -value) if value < datetime.timedelta(0) else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{value.days}D" if value.days else ""
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction:
        time += f"{seconds}{fraction}S"
    if not days and not time:
        return "PT0S"
    return f"{sign}P{days}" + (f"T{time}" if time else "")


def of_parameters(slots: Sequence[Slot], parameters: Sequence[Any] | Mapping[str, Any], dialect: Dialect) -> list[Any]:
    """The value of each slot, as a driver takes it.

    Objects are bound as JSON text, and so are lists, except in PostgreSQL: there a list of values of one type is an
    array, unless the slot is cast to JSON.
    """
    by_key = (
        parameters
        if isinstance(parameters, Mapping)
        else {f"p{number}": value for number, value in enumerate(parameters, 1)}
    )
    return [_of_json(by_key[slot.key], slot, dialect) for slot in slots]


def _of_json(value: Any, slot: Slot, dialect: Dialect) -> Any:
    is_array = (
        isinstance(value, (list, tuple))
        and dialect in (Dialect.POSTGRESQL, Dialect.OTHER)
        and not slot.as_json
        and _is_uniform(value)
    )
    if is_array:
        return list(value)
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else value


def _is_uniform(values: Sequence[Any]) -> bool:
    """Whether all values are of one scalar type, nulls apart, or lists of the same kind."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return not kinds & {dict} and all(_is_uniform(value) for value in values if isinstance(value, (list, tuple)))
    return False
