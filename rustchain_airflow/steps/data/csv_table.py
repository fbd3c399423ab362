"""A CSV as a lazy polars frame, and what each operation makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from difflib import get_close_matches
from io import BytesIO
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, TypeAlias

from rustchain_airflow.steps.data import csv_operations as ops
from rustchain_airflow.steps.data.content import read_content
from rustchain_airflow.steps.data.csv_schema import BOOLEANS, INTEGER, NUMBER, ColumnRule, SchemaCheck
from rustchain_airflow.steps.data.csv_text import (
    CsvParameters,
    FormCheck,
    Malformed,
    as_utf_8,
    header_of,
    line_end,
    rows,
    unique_names,
)
from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused, require

Frame: TypeAlias = Any
"""A `polars.LazyFrame`; polars is an extra, so its types are not named here."""
Expression: TypeAlias = Any
"""A `polars.Expr`."""

SHOWN_FAULTS: Final = 5
MAX_FAULTS: Final = 1_000

_EXACT_DOUBLES: Final = 2**53
"""Integers below are doubles; of the others, several are one double."""
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class CsvSource:
    """An open CSV text and how it is written."""

    name: str
    file: BinaryIO
    dialect: CsvParameters

    def failure(self, error: Malformed) -> StepError:
        return StepError(f"{self.name}:{error.fault.line}: {error.fault.message}")

    def fault(self, otherwise: str) -> StepError:
        """Why polars could not read it, with the line that a closer look finds."""
        try:
            width = 0
            for row in rows(self.file, self.dialect):
                width = width or len(row.cells)
                if len(row.cells) > width:
                    return StepError(f"{self.name}:{row.line}: {len(row.cells)} cells where there are {width} columns")
        except Malformed as error:
            return self.failure(error)
        return StepError(f"{self.name} cannot be read as CSV, perhaps for a stray quote: {otherwise}")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows at one point of the work. Cells are text as the file has it, empty cells are null."""

    source: CsvSource
    frame: Frame
    names: tuple[str, ...]
    rules: Mapping[str, ColumnRule]
    computed: frozenset[str] = frozenset()
    """Columns that hold numbers, because an operation computed them."""
    is_whole_file: bool = True
    """The rows are those of the file, one for one and in its order."""

    def with_frame(self, frame: Frame, **changes: Any) -> Table:
        return replace(self, frame=frame, **{"is_whole_file": False, **changes})

    def check_columns(self, wanted: Iterable[str]) -> None:
        """Raise StepError for a column that is not there, naming the nearest or all."""
        for name in wanted:
            if name not in self.names:
                near = get_close_matches(name, self.names, n=1)
                known = ", ".join(f'"{known}"' for known in self.names[:20])
                hint = f'did you mean "{near[0]}"?' if near else f"there are {known}"
                raise StepError(f'there is no column "{name}" here; {hint}')

    def collect(self, frame: Frame) -> Any:
        return self.collect_all([frame])[0]

    def collect_all(self, frames: Sequence[Frame]) -> list[Any]:
        """Run frames in one pass over the file, streaming. Whatever polars says becomes a StepError."""
        polars = require("polars", "data")
        try:
            return list(polars.collect_all(frames, engine="streaming"))
        except polars.exceptions.PolarsError as error:
            raise self.failure(error) from None

    def failure(self, error: Exception) -> StepError:
        """What a polars error means to the people who wrote the mission."""
        lines = str(error).strip().splitlines()
        if lines[0].startswith("regex"):
            reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
            return StepRefused(f"not a regular expression: {(reasons or lines)[0]}")
        if lines[0].startswith("conversion from"):
            return StepError(f"a figure is out of range: {lines[0]}")
        return self.source.fault(lines[0])


def open_table(
    text: str | None,
    file: str | None,
    dialect: CsvParameters,
    rules: Mapping[str, ColumnRule],
    context: StepContext,
    cleanup: ExitStack,
) -> Table:
    """The table of inline text or a file; it reads the file until ``cleanup`` ends. StepError for an empty one."""
    polars = require("polars", "data")
    if file is None:
        opened: BinaryIO = BytesIO(read_content(text, None, context).data)
    else:
        opened = cleanup.enter_context(context.workspace.open(file))
    source = CsvSource(file or "content", opened, dialect)
    try:
        if file is None:
            source = replace(source, dialect=dialect.model_copy(update={"encoding": "utf-8"}))
        elif dialect.encoding != "utf-8":
            # Nameless, so it is gone with this process however that ends.
            copy: Any = cleanup.enter_context(TemporaryFile())  # noqa: SIM115
            as_utf_8(opened, dialect, copy)
            source = replace(source, file=copy, dialect=dialect.model_copy(update={"encoding": "utf-8"}))
        names, lines_before = header_of(source.file, source.dialect)
    except Malformed as error:
        raise source.failure(error) from None
    end = line_end(source.file)
    frame = polars.scan_csv(
        source.file,
        has_header=False,
        skip_lines=lines_before,
        schema=dict.fromkeys(names, polars.String),
        separator=dialect.delimiter,
        quote_char=dialect.quotechar or None,
        eol_char=end,
        empty_string_is_null=True,
        missing_columns="insert",
        extra_columns="raise",
        raise_if_empty=False,
    )
    if len(names) > 1:
        frame = frame.filter(~polars.all_horizontal(polars.all().is_null()))
    return Table(source, frame, tuple(names), rules)


# --- types ----------------------------------------------------------------------------------------


def _text(table: Table, name: str) -> Expression:
    polars = require("polars", "data")
    return polars.col(name).cast(polars.String) if name in table.computed else polars.col(name)


def _number(table: Table, name: str) -> Expression:
    """The cell as a number; null where it says none."""
    polars = require("polars", "data")
    if name in table.computed:
        return polars.col(name)
    # What polars reads as a finite number is what `NUMBER` describes.
    number = polars.col(name).str.strip_chars().cast(polars.Float64, strict=False)
    return polars.when(number.is_finite()).then(number)


def _integer(table: Table, name: str) -> Expression:
    """The cell as a 64-bit integer; null where it says none."""
    polars = require("polars", "data")
    if name in table.computed:
        return polars.col(name).cast(polars.Int64, strict=False)
    return polars.col(name).str.strip_chars().cast(polars.Int64, strict=False)


def _kinds(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Per column: computed, integer, number or text; all that the schema leaves open in one pass over all rows."""
    kinds: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name in table.computed:
            kinds[name] = "computed"
        elif name in table.rules:
            declared = table.rules[name].type
            kinds[name] = declared if declared in ("integer", "number") else "text"
    open_names = [name for name in dict.fromkeys(names) if name not in kinds]
    if open_names:
        polars = require("polars", "data")
        questions = []
        for place, name in enumerate(open_names):
            filled = polars.col(name).is_not_null()
            questions += [
                filled.sum().alias(f"{place} filled"),
                (filled & _integer(table, name).is_null()).sum().alias(f"{place} no integer"),
                (filled & _number(table, name).is_null()).sum().alias(f"{place} no number"),
            ]
        answers = table.collect(table.frame.select(questions)).row(0, named=True)
        for place, name in enumerate(open_names):
            if not answers[f"{place} filled"] or answers[f"{place} no number"]:
                kinds[name] = "text"
            else:
                kinds[name] = "number" if answers[f"{place} no integer"] else "integer"
    return kinds


def _as(kind: str, table: Table, name: str) -> Expression:
    polars = require("polars", "data")
    if kind in ("integer", "number"):
        return _integer(table, name) if kind == "integer" else _number(table, name)
    return polars.col(name)


def typed_frame(table: Table) -> Frame:
    """The frame with the columns that the schema calls integer, number or boolean as such.

    Raises StepError naming the first cell of each that says something else.
    """
    polars = require("polars", "data")
    values: dict[str, Expression] = {}
    for name in table.names:
        declared = table.rules[name].type if name in table.rules and name not in table.computed else "string"
        if declared in ("integer", "number"):
            values[name] = _as(declared, table, name)
        elif declared == "boolean":
            text = polars.col(name).str.strip_chars().str.to_lowercase()
            values[name] = text.replace_strict(BOOLEANS, default=None, return_dtype=polars.Boolean)
    if not values:
        return table.frame
    misfits = [
        polars.col(name).filter(value.is_null() & (polars.col(name).str.strip_chars() != "")).first().alias(name)
        for name, value in values.items()
    ]
    for name, cell in table.collect(table.frame.select(misfits)).row(0, named=True).items():
        if cell is not None:
            raise StepError(f'{name}: "{cell}" is not of the type its schema names, {table.rules[name].type}')
    return table.frame.with_columns(**values)


# --- operations -----------------------------------------------------------------------------------


def normalize(table: Table, _: ops.Normalize) -> Table:
    polars = require("polars", "data")
    names = unique_names([snake_case(name) for name in table.names])
    cells = []
    for name in table.names:
        cell = polars.col(name)
        if name not in table.computed:
            cell = cell.str.strip_chars()
            cell = polars.when(cell != "").then(cell)
        cells.append(cell.alias(name))
    new_names = dict(zip(table.names, names, strict=True))
    return replace(
        table,
        frame=table.frame.select(cells).rename(new_names),
        names=tuple(names),
        rules={snake_case(name): rule for name, rule in table.rules.items()},
        computed=frozenset(new_names[name] for name in table.computed),
    )


def snake_case(name: str) -> str:
    """Letters and digits in lower case, joined by single underscores: "Order ID" and "orderId" are order_id."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()


def validate(table: Table, operation: ops.Validate) -> Table:
    faults: list[dict[str, Any]] = []
    count = 0
    try:
        for _, found in FormCheck(table.source.file, table.source.dialect):
            if found:
                count += len(found)
                faults += [{"path": "", "line": fault.line, "message": fault.message} for fault in found]
                del faults[MAX_FAULTS:]
    except Malformed as error:
        raise table.source.failure(error) from None
    if operation.rules is not None:
        table = replace(table, rules={**table.rules, **operation.rules})
    check = SchemaCheck(table.rules, table.names)
    faults += [{"path": "", "line": 1 if table.is_whole_file else None, "message": text} for text in check.missing]
    count += len(check.missing)
    if not count and table.rules:
        found_rows, count = _cell_faults(table, check)
        faults += found_rows
    if count:
        shown = "; ".join(
            f"line {fault['line']}: {fault['message']}" if fault["line"] else str(fault["message"])
            for fault in faults[:SHOWN_FAULTS]
        )
        more = f"; and {count - SHOWN_FAULTS} more" if count > SHOWN_FAULTS else ""
        raise StepError(
            f"{table.source.name} is not valid: {shown}{more}",
            output={"valid": False, "errors": faults[:MAX_FAULTS], "error_count": count},
        )
    return table


def _cell_faults(table: Table, check: SchemaCheck) -> tuple[list[dict[str, Any]], int]:
    """What the rules find, by row where the rows are no longer those of the file, and how much of it there is."""
    polars = require("polars", "data")
    found: list[tuple[int, str, str]] = []
    count = number = 0
    texts = table.frame.select(polars.col(name).cast(polars.String) for name in table.names)
    try:
        for batch in texts.collect_batches(maintain_order=True, engine="streaming"):
            for row in batch.iter_rows():
                number += 1
                for column, message in check.faults(row):
                    count += 1
                    if len(found) < MAX_FAULTS:
                        found.append((number, column, message))
    except polars.exceptions.PolarsError as error:
        raise table.failure(error) from None
    lines = _lines(table, [number for number, _, _ in found]) if table.is_whole_file else {}
    return [
        {
            "path": column,
            "line": lines.get(number),
            "message": message if table.is_whole_file else f"row {number}: {message}",
        }
        for number, column, message in found
    ], count


def _lines(table: Table, numbers: Sequence[int]) -> dict[int, int]:
    if not numbers:
        return {}
    wanted = set(numbers)
    skipped = 1 if table.source.dialect.has_header else 0
    data = islice(rows(table.source.file, table.source.dialect), skipped, skipped + max(numbers))
    return {number: row.line for number, row in enumerate(data, 1) if number in wanted}


def statistics(table: Table, operation: ops.Statistics) -> dict[str, dict[str, Any]]:
    """Per column: type, count, nulls, distinct, min, max, mean and stddev (of a sample)."""
    polars = require("polars", "data")
    names = operation.columns or table.names
    table.check_columns(names)
    kinds = _kinds(table, names)
    figures = [polars.len().alias("rows")]
    for place, name in enumerate(names):
        value = _as(kinds[name], table, name)
        figures += [
            value.count().alias(f"{place} count"),
            value.drop_nulls().n_unique().alias(f"{place} distinct"),
            value.min().alias(f"{place} min"),
            value.max().alias(f"{place} max"),
        ]
        if kinds[name] != "text":
            number = value.cast(polars.Float64)
            figures += [number.mean().alias(f"{place} mean"), number.std(ddof=1).alias(f"{place} stddev")]
    row = table.collect(table.frame.select(figures)).row(0, named=True)
    return {
        name: {
            "type": "number" if kinds[name] == "computed" else kinds[name],
            "count": row[f"{place} count"],
            "nulls": row["rows"] - row[f"{place} count"],
            **{key: row.get(f"{place} {key}") for key in ("distinct", "min", "max", "mean", "stddev")},
        }
        for place, name in enumerate(names)
    }


def deduplicate(table: Table, operation: ops.Deduplicate) -> Table:
    table.check_columns(operation.columns or ())
    return table.with_frame(table.frame.unique(operation.columns, keep="first", maintain_order=True))


def sort(table: Table, operation: ops.Sort) -> Table:
    table.check_columns(operation.by)
    kinds = _kinds(table, operation.by)
    keys = [_as(kinds[name], table, name) for name in operation.by]
    return table.with_frame(
        table.frame.sort(keys, descending=operation.descending, nulls_last=True, maintain_order=True)
    )


def filter_rows(table: Table, operation: ops.Filter) -> Table:
    table.check_columns([operation.column])
    return table.with_frame(table.frame.filter(_condition(table, operation)))


def _condition(table: Table, operation: ops.Filter) -> Expression:
    polars = require("polars", "data")
    text = _text(table, operation.column)
    value = operation.value
    match operation.op:
        case "is_null":
            return text.is_null()
        case "not_null":
            return text.is_not_null()
        case "contains":
            return text.str.contains(value, literal=True)
        case "starts_with":
            return text.str.starts_with(value)
        case "ends_with":
            return text.str.ends_with(value)
        case "regex":
            return text.str.contains(value)
        case "in" | "not_in":
            equal = [_compared(table, operation.column, "eq", choice).fill_null(False) for choice in value]
            found = polars.any_horizontal(equal) if equal else polars.lit(False)
            return ~found if operation.op == "not_in" else found
        case "ne":
            # A cell that is empty, or says no number, is not equal to one.
            return _compared(table, operation.column, "ne", value).fill_null(True)
        case _:
            return _compared(table, operation.column, operation.op, value)


def _compared(table: Table, column: str, op: str, value: Any) -> Expression:
    """The comparison of a column with one value, as the type of the value and of the column ask for."""
    polars = require("polars", "data")
    compare = _COMPARISONS[op]
    if isinstance(value, bool):
        return compare(_text(table, column).str.strip_chars().str.to_lowercase(), str(value).lower())
    if isinstance(value, str):
        if not _compares_as_number(table, column, op, value):
            return compare(_text(table, column), value)
        value = int(value) if re.fullmatch(INTEGER, value) else float(value)
    number = compare(_number(table, column), float(value))
    if isinstance(value, int) and _EXACT_DOUBLES <= abs(value) < 2**63:
        integer = _integer(table, column)
        return polars.when(integer.is_not_null()).then(compare(integer, value)).otherwise(number)
    return number


def _compares_as_number(table: Table, column: str, op: str, value: str) -> bool:
    if not re.fullmatch(NUMBER, value):
        return False
    if column in table.computed or column in table.rules:
        return _kinds(table, [column])[column] != "text"
    return op not in ("eq", "ne") and _kinds(table, [column])[column] != "text"


def select(table: Table, operation: ops.Select) -> Table:
    table.check_columns(operation.columns)
    names = tuple(dict.fromkeys(operation.columns))
    return replace(table, frame=table.frame.select(names), names=names, computed=table.computed.intersection(names))


def rename(table: Table, operation: ops.Rename) -> Table:
    table.check_columns(operation.names)
    new = {name: operation.names.get(name, name) for name in table.names}
    _refuse_repeated(list(new.values()))
    return replace(
        table,
        frame=table.frame.rename(new),
        names=tuple(new.values()),
        rules={new.get(name, name): rule for name, rule in table.rules.items()},
        computed=frozenset(new[name] for name in table.computed),
    )


def aggregate(table: Table, operation: ops.Aggregate) -> Table:
    polars = require("polars", "data")
    groups = list(dict.fromkeys(operation.group_by or ()))
    metrics = operation.metrics or {"count": ops.MetricOf.model_validate({"op": "count"})}
    table.check_columns([*groups, *(metric.column for metric in metrics.values() if metric.column is not None)])
    names = [*groups, *metrics]
    _refuse_repeated(names)
    kinds = _kinds(table, [m.column for m in metrics.values() if m.column is not None and m.op in _TYPED_METRICS])
    figures, computed = [], set()
    for name, metric in metrics.items():
        kind = kinds.get(metric.column or "", "text")
        figures.append(_figure(table, metric, kind).alias(name))
        if metric.op not in ("min", "max") or kind != "text":
            computed.add(name)
    if groups:
        frame = table.frame.group_by(groups, maintain_order=True).agg(figures)
    else:
        frame = table.frame.select(figures)
    if any(metric.op == "sum" and kinds[metric.column or ""] == "integer" for metric in metrics.values()):
        # Summed in 128 bits, so that what does not fit in 64 is an error and not another number.
        frame = frame.with_columns(polars.col(polars.Int128).cast(polars.Int64))
    kept = computed | (table.computed.intersection(groups))
    rules = {name: rule for name, rule in table.rules.items() if name in groups}
    return table.with_frame(frame, names=tuple(names), computed=frozenset(kept), rules=rules)


_TYPED_METRICS: Final = ("sum", "mean", "min", "max")


def _figure(table: Table, metric: ops.MetricOf, kind: str) -> Expression:
    polars = require("polars", "data")
    if metric.column is None:
        return polars.len()
    if metric.op == "count":
        return polars.col(metric.column).count()
    if metric.op == "distinct":
        return polars.col(metric.column).drop_nulls().n_unique()
    value = _as(kind, table, metric.column)
    if metric.op in ("min", "max"):
        return value.min() if metric.op == "min" else value.max()
    if kind == "text":
        _refuse_text(table, metric.op, metric.column)
        value = _number(table, metric.column)
    if metric.op == "mean":
        return value.cast(polars.Float64).mean()
    return (value.cast(polars.Int128) if kind == "integer" else value).sum()


def _refuse_text(table: Table, op: str, name: str) -> None:
    polars = require("polars", "data")
    odd = table.collect(table.frame.filter(polars.col(name).is_not_null() & _number(table, name).is_null()).head(1))
    if odd.height:
        raise StepError(f'{op} of "{name}": "{odd[name][0]}" is not a number')
    if name in table.rules:
        raise StepError(f'{op} of "{name}": its schema says {table.rules[name].type}')


def join(table: Table, operation: ops.Join, other: Table) -> Table:
    table.check_columns(operation.on)
    for name in operation.on:
        if name not in other.names:
            raise StepError(f'{operation.file} has no column "{name}" to join on')
    keys = [name for name in operation.on if name in table.computed]
    if keys:
        raise StepError(f'"{keys[0]}" was computed; join on a column of the file')
    options: dict[str, Any] = {"coalesce": True} if operation.how == "full" else {}
    frame = table.frame.join(
        other.frame,
        on=operation.on,
        how=operation.how,
        suffix="_right",
        maintain_order="left_right" if operation.how == "full" else "left",
        **options,
    )
    names = tuple(frame.collect_schema().names())
    return table.with_frame(frame, names=names, rules={**other.rules, **table.rules})


def limit(table: Table, operation: ops.Limit) -> Table:
    return replace(table, frame=table.frame.head(operation.count))


def _refuse_repeated(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise StepError(f'two columns would be called "{name}"')
