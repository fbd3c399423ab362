"""What the columns of a CSV have to look like."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.sdk import Options

ColumnType = Literal["string", "integer", "number", "boolean", "date", "datetime"]

INTEGER: Final = r"[+-]?[0-9]+"
NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
"""How cells say numbers, in the syntax that Python and polars share. NaN and infinity are text."""

BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}

_INTEGER: Final = re.compile(INTEGER)
_NUMBER: Final = re.compile(NUMBER)
_ARTICLE: Final = {"integer": "an integer"}


def _pattern(value: str | None) -> str | None:
    if value is not None:
        try:
            re.compile(value)
        except re.error as error:
            raise PydanticCustomError("value_error", "not a regular expression: {why}", {"why": str(error)}) from None
    return value


def _scalar(value: Any) -> Any:
    if value is not None and not isinstance(value, str | int | float):
        raise PydanticCustomError("value_error", "a bound is a number or text")
    return value


class ColumnRule(Options):
    """What the cells of one column have to be; empty cells satisfy every rule but `required`."""

    type: ColumnType = Field("string", description="What each cell says.")
    required: bool = Field(False, description="The column is there, and none of its cells is empty.")
    pattern: Annotated[str | None, AfterValidator(_pattern)] = Field(
        None, description="Regular expression (Python) that matches the whole cell."
    )
    min: Annotated[Any, BeforeValidator(_scalar)] = Field(
        None, description="Least value of a number or a date; least length of a string."
    )
    max: Annotated[Any, BeforeValidator(_scalar)] = Field(
        None, description="Greatest value of a number or a date; greatest length of a string."
    )
    enum: list[Any] | None = Field(None, description="The values a cell may have.")

    def fault(self, cell: str) -> str | None:
        """What is wrong with a cell, as the end of a sentence; None where nothing is."""
        text = cell.strip()
        if not text:
            return "is empty" if self.required else None
        value = self._value(text)
        if value is None:
            return f"is not {_ARTICLE.get(self.type, f'a {self.type}')}"
        if self._regex is not None and not self._regex.fullmatch(text):
            return f'does not match "{self.pattern}"'
        if self._choices is not None and value not in self._choices:
            return f"is not one of {', '.join(str(choice) for choice in self.enum or ())}"
        measured: Any = len(text) if self.type == "string" else value
        of_length = "is shorter than {}", "is longer than {}"
        below, above = of_length if self.type == "string" else ("is below {}", "is above {}")
        if self._bounds[0] is not None and measured < self._bounds[0]:
            return below.format(self.min)
        if self._bounds[1] is not None and measured > self._bounds[1]:
            return above.format(self.max)
        return None

    def _value(self, text: str) -> Any:
        """What a cell says; None for a cell of another type."""
        try:
            match self.type:
                case "integer":
                    return int(text) if _INTEGER.fullmatch(text) else None
                case "number":
                    number = float(text) if _NUMBER.fullmatch(text) else math.inf
                    return number if math.isfinite(number) else None
                case "boolean":
                    return BOOLEANS.get(text.lower())
                case "date":
                    return date.fromisoformat(text)
                case "datetime":
                    moment = datetime.fromisoformat(text)
                    # Moments with and without a zone cannot be compared; without one they are taken as UTC.
                    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
                case _:
                    return text
        except (ValueError, OverflowError):
            return None

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern) if self.pattern is not None else None

    @cached_property
    def _choices(self) -> frozenset[Any] | None:
        return None if self.enum is None else frozenset(self._value(_spelled(choice)) for choice in self.enum)

    @cached_property
    def _bounds(self) -> tuple[Any, Any]:
        if self.type == "string":
            return self.min, self.max
        return tuple(bound if bound is None else self._value(_spelled(bound)) for bound in (self.min, self.max))  # type: ignore[return-value]


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_rule(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


CsvSchema = dict[str, Annotated[ColumnRule, BeforeValidator(_as_rule, json_schema_input_type=str | dict[str, Any])]]
"""Column name to its rule, or to its type alone."""


class SchemaCheck:
    """Judges rows by a schema; columns that the schema does not name are free."""

    def __init__(self, schema: Mapping[str, ColumnRule], names: Sequence[str]) -> None:
        self.missing = [
            f'the column "{name}" is missing{_nearest(name, names)}'
            for name, rule in schema.items()
            if rule.required and name not in names
        ]
        self._rules = [(place, name, schema[name]) for place, name in enumerate(names) if name in schema]

    def faults(self, cells: Sequence[str | None]) -> Iterator[tuple[str, str]]:
        """The column and the fault of each cell that is wrong."""
        for place, name, rule in self._rules:
            cell = (cells[place] if place < len(cells) else None) or ""
            fault = rule.fault(cell)
            if fault is not None:
                shown = f"{cell[:60]}…" if len(cell) > 60 else cell
                yield name, f'{name}: "{shown}" {fault}' if shown else f"{name} {fault}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
