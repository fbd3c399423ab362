"""Process CSV."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.data import csv_operations as ops
from rustchain_airflow.steps.data import csv_table as tables
from rustchain_airflow.steps.data.content import SourceParameters
from rustchain_airflow.steps.data.csv_output import JsonArray, OutputFormat, format_by_suffix, sink
from rustchain_airflow.steps.data.csv_schema import CsvSchema
from rustchain_airflow.steps.data.csv_table import Table, open_table
from rustchain_airflow.steps.data.csv_text import CsvParameters
from rustchain_airflow.steps.sdk import Alias, Output, StepContext, WritePath, require, step

with warnings.catch_warnings():
    # See content.py: the word of the mission files wins over pydantic's deprecated method.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class CsvProcessParameters(CsvParameters, SourceParameters):
        """What to read, what to do with it, and where to write it."""

        operations: Annotated[ops.Operations, Alias("operation")] = Field(
            [], description="What to do, in this order; each a name or a map of one name to its options."
        )
        output_file: WritePath | None = Field(
            None, description="Where to write the result; .json, .jsonl and .parquet choose another format than CSV."
        )
        schema: CsvSchema = Field({}, description="Column to {type, required, pattern, min, max, enum}.")  # type: ignore[assignment]
        max_records: Annotated[int, Field(ge=0)] = Field(1000, description="How many rows `records` holds at most.")

        @model_validator(mode="after")
        def _has_somewhere_to_write(self) -> CsvProcessParameters:
            for operation in self.operations:
                if isinstance(operation, ops.ToJson | ops.ToParquet) and self.output_file is None:
                    raise PydanticCustomError("value_error", "{name} needs output_file", {"name": operation.operation})
            return self


class CsvProcessOutput(Output):
    """What came out."""

    main: ClassVar[str] = "records"

    row_count: int = Field(description="Rows of the result.")
    column_count: int = Field(description="Columns of the result.")
    headers: list[str] = Field(description="Columns of the result, in order.")
    records: list[dict[str, Any]] = Field(description="The first `max_records` rows, as objects.")
    output_file: str | None = Field(None, description="The file that was written.")
    statistics: dict[str, dict[str, Any]] | None = Field(
        None, description="Per column {type, count, nulls, distinct, min, max, mean, stddev}; with `statistics`."
    )


@step(idempotent=True)
def csv_process(parameters: CsvProcessParameters, context: StepContext) -> CsvProcessOutput:
    """Read a CSV, apply operations in order, and give back or write the result.

    `operations` is a name, or a list of names and of maps of one name to its options:

    - `normalize`: headers and cells without blanks around them, headers in lower_snake case (the second of a name
      gets `_2`), blank cells empty.
    - `validate`: the same number of cells in every row, no header twice; with `schema`, the rules of each column.
      What is wrong fails the step, the first faults in the message, up to 1,000 in its output's `errors`.
    - `statistics`: describes the rows at this point; they go on unchanged. `nulls` are empty cells, `count` the
      others, `stddev` that of a sample. Also `{statistics: [columns]}`.
    - `deduplicate`: keeps the first of equal rows; `{deduplicate: [columns]}` looks at those columns only.
    - `{sort: {by: column or list, descending: false}}`: equal rows keep their order, empty cells come last.
    - `{filter: {column, op, value}}`: op is eq, ne, lt, le, gt, ge (or == != < <= > >=), contains, starts_with,
      ends_with, regex (found anywhere), in, not_in, is_null, not_null. An empty cell satisfies is_null, ne and not_in.
    - `{select: [columns]}`, `{rename: {old: new}}`, `{limit: n}`.
    - `{aggregate: {group_by: column or list, metrics: {name: {column, op}}}}`: op is sum, mean, min, max, count (of
      cells that are not empty; of rows without a column) or distinct. `{amount: sum}` and `{amount: [sum, mean]}`
      make `amount_sum` and `amount_mean`. Groups come in the order of their first row.
    - `{join: {file, on, how}}`: how is inner, left, full (outer), semi or anti. Columns of the other file whose name is
      taken get `_right`.
    - `to_json`, `to_parquet`: the format of output_file, which its suffix chooses otherwise.

    **Types.** Cells are text and are never rewritten unless an operation says so: "007" and "1.50" come out as they
    went in. An empty cell is null. Where an order or a sum is asked for, a column is what `schema` says; a column
    that the schema does not name is a number when every cell of the whole column that is not empty says one, else
    text. In a filter the value decides: a number is compared with cells that say numbers ("7", "007", "7.0" all equal
    7), text is compared as text, except that text such as "100" is a number for < <= > >= on a column of numbers, and
    everywhere on a column that the schema calls one. Dates are compared as text, as ISO 8601 allows. `schema` also
    makes integer, number and boolean columns such in `records`, JSON and Parquet; without it they are text there.

    **Form.** `delimiter` (also "tab"), `quotechar`, `encoding`, `has_header: false` (column_1, column_2 …). Short rows
    are filled with empty cells, which `validate` forbids; long rows fail. Lines without any value are no rows, unless
    there is one column only. A header twice gets `_2`. Output CSV is UTF-8 in the same delimiter and quotechar, and
    always has headers. The file is written whole or not at all.

    Input is streamed: larger than memory is fine, except that sort, deduplicate, distinct counts and the smaller side
    of a join are held in memory.
    """
    # Read by polars' allocator when it is loaded, in this step's own process: give freed pages back at once, which
    # keeps the peak of a streaming run near the library's working set.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0")
    with ExitStack() as cleanup:
        table = open_table(parameters.content, parameters.file, parameters, parameters.schema, context, cleanup)
        statistics = None
        format = format_by_suffix(parameters.output_file or "")
        for operation in parameters.operations:
            match operation:
                case ops.Statistics():
                    statistics = tables.statistics(table, operation)
                case ops.ToJson():
                    format = format if format is OutputFormat.JSON_LINES else OutputFormat.JSON
                case ops.ToParquet():
                    format = OutputFormat.PARQUET
                case ops.Join():
                    other = open_table(None, operation.file, parameters, parameters.schema, context, cleanup)
                    table = tables.join(table, operation, other)
                case _:
                    table = _APPLY[type(operation)](table, operation)
        row_count, records = _finish(table, parameters, format, context)
        return CsvProcessOutput(
            row_count=row_count,
            column_count=len(table.names),
            headers=list(table.names),
            records=records,
            output_file=None if parameters.output_file is None else context.workspace.relative(parameters.output_file),
            statistics=statistics,
        )


_APPLY: dict[type[Any], Any] = {
    ops.Normalize: tables.normalize,
    ops.Validate: tables.validate,
    ops.Deduplicate: tables.deduplicate,
    ops.Sort: tables.sort,
    ops.Filter: tables.filter_rows,
    ops.Select: tables.select,
    ops.Rename: tables.rename,
    ops.Aggregate: tables.aggregate,
    ops.Limit: tables.limit,
}


def _finish(
    table: Table, parameters: CsvProcessParameters, format: OutputFormat, context: StepContext
) -> tuple[int, list[dict[str, Any]]]:
    """Count the rows, take the first of them and write the file, all in one pass."""
    typed = tables.typed_frame(table)
    results = [table.frame.select(require("polars", "data").len()), typed.head(parameters.max_records)]
    if parameters.output_file is None:
        count, first = table.collect_all(results)
    else:
        with context.workspace.write(parameters.output_file) as file:
            target: Any = JsonArray(file) if format is OutputFormat.JSON else file
            written = table.frame if format is OutputFormat.CSV else typed
            count, first, _ = table.collect_all([*results, sink(written, target, format, parameters)])
            if isinstance(target, JsonArray):
                target.finish()
    return count.item(), first.to_dicts()
