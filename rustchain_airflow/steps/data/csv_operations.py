"""The operations of csv_process, as mission files write them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.data.csv_schema import CsvSchema
from rustchain_airflow.steps.sdk import Alias, Options, ReadPath


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=str | list[str])]
"""One column, or a list of columns."""

FilterOperator = Literal[
    "eq", "ne", "lt", "le", "gt", "ge", "contains", "starts_with", "ends_with", "in", "not_in", "is_null", "not_null",
    "regex",
]  # fmt: skip
_SYMBOLS: Final = {
    "==": "eq", "=": "eq", "!=": "ne", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
    "equals": "eq", "not_equals": "ne", "matches": "regex", "is_not_null": "not_null",
}  # fmt: skip

Metric = Literal["sum", "mean", "min", "max", "count", "distinct"]
_METRICS: Final = {"avg": "mean", "average": "mean", "n_unique": "distinct"}


def _operator(value: Any) -> Any:
    return _SYMBOLS.get(value, value) if isinstance(value, str) else value


def _metric(value: Any) -> Any:
    return _METRICS.get(value, value) if isinstance(value, str) else value


class Normalize(Options):
    """Trim headers and cells, write headers in lower_snake case, make blank cells empty."""

    operation: Literal["normalize"]


class Validate(Options):
    """The same number of cells in every row and no header twice; with a schema, types as well."""

    operation: Literal["validate"]
    rules: Annotated[CsvSchema | None, Alias("schema", "columns")] = Field(
        None, description="Column rules; by default those of the step's `schema`."
    )


class Statistics(Options):
    """Describe every column; the rows go on unchanged."""

    operation: Literal["statistics"]
    columns: Names | None = Field(None, description="The columns to describe; by default all.")


class Deduplicate(Options):
    """Keep the first of equal rows, in order."""

    operation: Literal["deduplicate"]
    columns: Annotated[Names | None, Alias("by", "subset", "on")] = Field(
        None, description="The columns in which rows are equal; by default all."
    )


class Sort(Options):
    """Order the rows; equal rows keep their order, empty cells come last."""

    operation: Literal["sort"]
    by: Annotated[Names, Alias("columns", "column")] = Field(description="The columns to sort by, the first first.")
    descending: bool = Field(False, description="Greatest first.")


class Filter(Options):
    """Keep the rows whose cell satisfies a condition."""

    operation: Literal["filter"]
    column: str = Field(description="The column to look at.")
    op: Annotated[FilterOperator, Alias("operator"), BeforeValidator(_operator)] = Field(
        "eq", description="The condition; symbols such as >= are accepted."
    )
    value: Any = Field(None, description="What cells are compared with; a list for in and not_in.")

    @model_validator(mode="after")
    def _value_fits(self) -> Filter:
        if self.op in ("is_null", "not_null"):
            return self
        if self.op in ("in", "not_in"):
            if not isinstance(self.value, list):
                raise PydanticCustomError("value_error", "{op} takes a list as value", {"op": self.op})
        elif self.op in ("contains", "starts_with", "ends_with", "regex"):
            if not isinstance(self.value, str):
                raise PydanticCustomError("value_error", "{op} takes text as value", {"op": self.op})
        elif not isinstance(self.value, str | int | float):
            raise PydanticCustomError("value_error", "{op} takes a number or text as value", {"op": self.op})
        return self


class Select(Options):
    """Keep these columns, in this order."""

    operation: Literal["select"]
    columns: Names = Field(description="The columns to keep.")


class Rename(Options):
    """Give columns other names."""

    operation: Literal["rename"]
    names: dict[str, str] = Field(description="Old name to new name.")


class MetricOf(Options):
    """One figure of a group."""

    column: str | None = Field(None, description="The column; count needs none.")
    op: Annotated[Metric, Alias("operation", "function"), BeforeValidator(_metric)] = Field(
        description="What to compute."
    )

    @model_validator(mode="after")
    def _column_is_there(self) -> MetricOf:
        if self.column is None and self.op != "count":
            raise PydanticCustomError("value_error", "{op} needs a column", {"op": self.op})
        return self


class Aggregate(Options):
    """One row per group, groups in order of their first row."""

    operation: Literal["aggregate"]
    group_by: Annotated[Names | None, Alias("by")] = Field(None, description="The columns that make groups.")
    metrics: Annotated[dict[str, MetricOf], Alias("aggregations")] = Field(
        {}, description="Name of a new column to {column, op}; or column to op, or to a list of ops."
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            key: _spelled_out(value) if key in ("metrics", "aggregations") and isinstance(value, Mapping) else value
            for key, value in given.items()
        }


def _spelled_out(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """``{amount: sum}`` and ``{amount: [sum, mean]}`` as ``{amount_sum: {column: amount, op: sum}, …}``."""
    plain: dict[str, Any] = {}
    for name, wanted in metrics.items():
        if isinstance(wanted, Mapping):
            plain[name] = wanted
        elif isinstance(wanted, str | list):
            for op in [wanted] if isinstance(wanted, str) else wanted:
                plain[f"{name}_{op}"] = {"column": name, "op": op}
        else:
            plain[name] = wanted
    return plain


class Join(Options):
    """Add the columns of another CSV file, in the same dialect."""

    operation: Literal["join"]
    file: Annotated[ReadPath, Alias("path", "with")] = Field(description="The other file.")
    on: Annotated[Names, Alias("by")] = Field(description="Columns that both have and that have to be equal.")
    how: Annotated[
        Literal["inner", "left", "full", "semi", "anti"],
        BeforeValidator(lambda value: "full" if value == "outer" else value),
    ] = Field("inner", description="Which rows to keep: inner, left, full (outer), semi or anti.")


class Limit(Options):
    """Keep the first rows."""

    operation: Literal["limit"]
    count: Annotated[int, Alias("n", "rows"), Field(ge=0)] = Field(description="How many.")


class ToJson(Options):
    """Write output_file as a JSON array of objects, or as JSON lines where it ends in .jsonl or .ndjson."""

    operation: Literal["to_json"]


class ToParquet(Options):
    """Write output_file as Parquet."""

    operation: Literal["to_parquet"]


_MAIN_OPTION: Final = {
    "normalize": None, "validate": "rules", "statistics": "columns", "deduplicate": "columns", "sort": "by",
    "filter": None, "select": "columns", "rename": "names", "aggregate": None, "join": None, "limit": "count",
    "to_json": None, "to_parquet": None,
}  # fmt: skip
"""Operation to the option that a value alone stands for: ``{limit: 5}``."""

_WHOLE: Final = {"rename": ("names",), "validate": ("rules", "schema", "columns")}
"""Operations whose map is the option itself unless it names one: ``{rename: {old: new}}``."""

_SPELLINGS: Final = {"normalise": "normalize", "dedupe": "deduplicate", "distinct": "deduplicate", "head": "limit"}


def _read(value: Any) -> Any:
    """An operation in any of its spellings as one flat map with its name under ``operation``."""
    if isinstance(value, str):
        return {"operation": _known(value)}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise PydanticCustomError(
            "value_error", 'an operation is a name, or a map of one name to its options: {"limit": 5}'
        )
    ((name, options),) = value.items()
    name = _known(name)
    if options is None or options is True:
        options = {}
    main = _MAIN_OPTION[name]
    if isinstance(options, Mapping):
        if name in _WHOLE and not (len(options) == 1 and next(iter(options)) in _WHOLE[name]):
            options = {main: options}
    elif main is not None:
        options = {main: options}
    else:
        raise PydanticCustomError("value_error", "{name} takes a map of options", {"name": name})
    return {**options, "operation": name}


def _known(name: Any) -> str:
    spelled = _SPELLINGS.get(name, name) if isinstance(name, str) else name
    if spelled in _MAIN_OPTION:
        return str(spelled)
    near = get_close_matches(str(name), _MAIN_OPTION, n=1)
    raise PydanticCustomError(
        "value_error",
        'unknown operation "{name}"{hint}',
        {"name": name, "hint": f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(_MAIN_OPTION)}"},
    )


AnyOperation = (
    Normalize | Validate | Statistics | Deduplicate | Sort | Filter | Select | Rename | Aggregate | Join | Limit
    | ToJson | ToParquet
)  # fmt: skip

_Written = str | dict[str, Any]

Operation = Annotated[
    Annotated[AnyOperation, Field(discriminator="operation")], BeforeValidator(_read, json_schema_input_type=_Written)
]
"""One operation: its name, or a map of its name to its options."""

Operations = Annotated[
    list[Operation],
    BeforeValidator(
        lambda value: value if isinstance(value, list) else [value], json_schema_input_type=_Written | list[_Written]
    ),
]
"""Operations in the order they are applied; one alone needs no list."""
