"""Run SQL in a database."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from rustchain_airflow.steps.database import values
from rustchain_airflow.steps.database.database import Session, connect, fault, find
from rustchain_airflow.steps.database.statements import Bound, Dialect, bind, spell, split, words
from rustchain_airflow.steps.sdk import (
    Alias,
    ConnectionReference,
    Marker,
    Output,
    Parameters,
    StepContext,
    StepRefused,
    WritePath,
    require,
    step,
)

_DEFAULT_MAX_ROWS: Final = 10_000
_CHUNK_ROWS: Final = 5_000
_TRANSACTION_WORDS: Final = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_WRITING_WORDS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO"})


class SqlQueryParameters(Parameters):
    connection: Annotated[ConnectionReference, Alias("database_url", "database", "conn_id")] = Field(
        description="An Airflow connection id, or a URL: `postgresql://`, `mysql://`, `mariadb://`, "
        "`sqlite:///file.db` (a path in the workspace), `sqlite://` (in memory), or that of "
        "any installed SQLAlchemy dialect."
    )
    query: Annotated[str, Alias("sql"), Marker.NO_REFERENCES] = Field(
        min_length=1, description="One or more SQL statements. Holds no references: values go into `parameters`."
    )
    parameters: list[Any] | dict[str, Any] | None = Field(
        None, description="Values to bind: a list for `$1`, `?` or `%s`, a map for `:name`."
    )
    output_format: Literal["json", "rows", "csv"] | None = Field(
        None,
        description="`json`: rows as objects; `rows`: rows as lists; `csv`: text with a header line. "
        "Default: `csv` for an `output_file` that ends in `.csv`, else `json`.",
    )
    output_file: WritePath | None = Field(
        None, description="Write the rows to this file instead of giving them back. It appears whole or not at all."
    )
    max_rows: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Rows to read at most. Default: 10000, and no limit with `output_file`."
    )
    fetch: bool = Field(True, description="Whether to read the rows; false runs the statements only.")
    transaction: bool = Field(
        True,
        description="Run all statements in one transaction, undone when one fails. False: each stands for itself, "
        "as `VACUUM` and `CREATE DATABASE` need it.",
    )


class SqlQueryOutput(Output):
    main: ClassVar[str | None] = "rows"

    columns: list[str] = Field(description="Names of the columns; a name that comes again gets `_2`, `_3` …")
    rows: list[Any] | str = Field(description="The rows in the output format; empty with `output_file`.")
    row_count: int = Field(description="Rows read, into the output or the file.")
    affected: int | None = Field(
        description="Rows that were inserted, changed or removed; null where nothing could be."
    )
    truncated: bool = Field(description="Whether there were more rows than `max_rows`.")
    output_file: str | None = Field(description="The file with the rows.")


@step(prepare=lambda: require("sqlalchemy", "database"))
def sql_query(parameters: SqlQueryParameters, context: StepContext) -> SqlQueryOutput:
    """Run SQL in a database.

    Several statements run one after another, in one transaction; ``rows`` are those of the last one, ``affected``
    is the sum. When a statement fails, or the step is stopped, the transaction is rolled back.

    Values are bound, never spliced into the text. Placeholders are `$1`, `?` or `%s` with a list, `:name` with a map,
    in every engine; in strings, quoted names and comments they are text, and so is `::type`. PostgreSQL's operators
    `?|` and `?&` are left alone; write `??` for its `?` beside `?` placeholders, or use `$1`. Objects are bound as
    JSON text. Lists are arrays in PostgreSQL, JSON text elsewhere and where cast (`$1::jsonb`).

    Decimals come back as numbers where a JSON number holds them exactly, else as text; dates and times in ISO 8601,
    intervals as ISO 8601 durations, bytes in base64, NaN and infinities as text.

    Rows written to `output_file` stream through: a JSON array with a row on each line, or CSV.
    A SQLite file is a path in the workspace; it is made when it does not exist, unless the URL says `?mode=rw`.
    """
    database = find(parameters.connection, context)
    statements = split(parameters.query, database.dialect)
    if not statements:
        raise StepRefused("the query holds no statement")
    if parameters.transaction:
        _refuse_transaction_control(statements, database.dialect)
    bound = bind(statements, parameters.parameters, database.dialect)
    with connect(database, context, autocommit=not parameters.transaction) as session:
        runner = _Runner(session, parameters, context)
        if not parameters.transaction:
            return runner.run(bound)
        session.begin()
        try:
            output = runner.run(bound)
            session.commit()
        except BaseException:
            session.rollback()
            raise
        return output


def _refuse_transaction_control(statements: Sequence[str], dialect: Dialect) -> None:
    for statement in statements:
        first = next(iter(words(statement, dialect)), "")
        if first in _TRANSACTION_WORDS:
            raise StepRefused(
                f"{first} is not needed: the statements run in one transaction; "
                "to control transactions in the query, set transaction: false"
            )


@dataclass(frozen=True)
class _Runner:
    """Runs the statements of one query in an open session."""

    session: Session
    parameters: SqlQueryParameters
    context: StepContext

    def run(self, bound: Sequence[Bound]) -> SqlQueryOutput:
        affected: list[int] = []
        for number, statement in enumerate(bound, 1):
            is_last = number == len(bound)
            try:
                with closing(self._execute(statement, stream=is_last and self.parameters.fetch)) as cursor:
                    if cursor.description is None:
                        affected.append(max(0, cursor.rowcount))
                    if is_last:
                        output = self._read(cursor)
                        # Some statements both write and give rows: INSERT … RETURNING.
                        if cursor.description is not None and self._writes(statement):
                            affected.append(max(output.row_count, cursor.rowcount))
            except Exception as error:
                mapped = fault(error, self.session.database) if len(bound) > 1 else None
                if mapped is None:
                    raise
                raise type(mapped)(f"statement {number} of {len(bound)}: {mapped}") from error
        return output.model_copy(update={"affected": sum(affected) if affected else None})

    def _execute(self, statement: Bound, *, stream: bool) -> Any:
        dialect, session = self.session.database.dialect, self.session
        if self.parameters.parameters is None:
            text = "".join(piece for piece in statement if isinstance(piece, str))
            arguments = None
        else:
            text, slots = spell(statement, session.paramstyle)
            given = values.of_parameters(slots, self.parameters.parameters, dialect)
            named = session.paramstyle in ("pyformat", "named")
            arguments = {slot.key: value for slot, value in zip(slots, given, strict=True)} if named else tuple(given)
        if not stream or not _gives_rows_only(text, dialect):
            return session.execute(text, arguments)
        limit = self._limit
        if dialect is Dialect.MYSQL and limit is not None:
            # Rows that nobody reads would have to be received before the connection can go on.
            session.run(f"SET SESSION sql_select_limit = {limit + 1}")
        return session.stream(text, arguments)

    @property
    def _limit(self) -> int | None:
        if self.parameters.max_rows is not None:
            return self.parameters.max_rows
        return None if self.parameters.output_file else _DEFAULT_MAX_ROWS

    def _writes(self, statement: Bound) -> bool:
        text = "".join(piece for piece in statement if isinstance(piece, str))
        return not _WRITING_WORDS.isdisjoint(words(text, self.session.database.dialect))

    def _read(self, cursor: Any) -> SqlQueryOutput:
        parameters = self.parameters
        if cursor.description is None or not parameters.fetch:
            if parameters.output_file and parameters.fetch:
                raise StepRefused("the last statement gives no rows to write to output_file")
            return _nothing([])
        columns = _unique([column[0] for column in cursor.description])
        rows = _Rows(cursor, self._limit)
        output_format = parameters.output_format or (
            "csv" if (parameters.output_file or "").lower().endswith(".csv") else "json"
        )
        output = _nothing(columns)
        if parameters.output_file:
            with self.context.workspace.write(parameters.output_file) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
                _WRITERS[output_format](text, columns, rows)
                text.flush()
                text.detach()
            path = self.context.workspace.relative(parameters.output_file)
            output = output.model_copy(update={"output_file": path})
        elif output_format == "csv":
            buffer = io.StringIO(newline="")
            _write_csv(buffer, columns, rows)
            output = output.model_copy(update={"rows": buffer.getvalue()})
        else:
            lists = [row for chunk in rows.chunks(values.to_json, values.PLAIN) for row in chunk]
            if output_format == "json":
                output = output.model_copy(update={"rows": [dict(zip(columns, row, strict=True)) for row in lists]})
            else:
                output = output.model_copy(update={"rows": [list(row) for row in lists]})
        return output.model_copy(update={"row_count": rows.count, "truncated": rows.truncated})


def _nothing(columns: list[str]) -> SqlQueryOutput:
    return SqlQueryOutput(columns=columns, rows=[], row_count=0, affected=None, truncated=False, output_file=None)


def _gives_rows_only(text: str, dialect: Dialect) -> bool:
    """Whether a statement may be read through a cursor on the server: a query that writes nothing."""
    said = words(text, dialect)
    return bool(said) and said[0] in ("SELECT", "WITH", "VALUES", "TABLE") and _WRITING_WORDS.isdisjoint(said)


def _unique(names: Sequence[str]) -> list[str]:
    """Column names, each once: objects have one value a name."""
    used: set[str] = set()
    unique = []
    for name in map(str, names):
        candidate, number = name, 1
        while candidate in used:
            number += 1
            candidate = f"{name}_{number}"
        used.add(candidate)
        unique.append(candidate)
    return unique


class _Rows:
    """The rows of a cursor, in chunks, counted, up to a limit."""

    def __init__(self, cursor: Any, limit: int | None) -> None:
        self._cursor = cursor
        self._limit = limit
        self.count = 0
        self.truncated = False

    def chunks(self, convert: Callable[[Any], Any], plain: frozenset[type]) -> Iterator[list[Sequence[Any]]]:
        """The rows in pieces; ``convert`` is asked only for columns that hold more than ``plain`` types and numbers."""
        while not self.truncated:
            wanted = _CHUNK_ROWS if self._limit is None else min(_CHUNK_ROWS, self._limit - self.count + 1)
            rows = self._cursor.fetchmany(wanted)
            if not rows:
                return
            if self._limit is not None and self.count + len(rows) > self._limit:
                rows = list(islice(rows, self._limit - self.count))
                self.truncated = True
            self.count += len(rows)
            columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
            odd = [place for place, column in enumerate(columns) if not _is_plain(column, plain)]
            for place in odd:
                columns[place] = [convert(value) for value in columns[place]]
            yield list(zip(*columns, strict=True)) if odd else rows


def _is_plain(column: Sequence[Any], plain: frozenset[type]) -> bool:
    """Whether a column can be written as it is: told from its types, for there may be millions of values."""
    others = set(map(type, column)) - plain
    return not others or (others == {float} and all(isfinite(value) for value in column if type(value) is float))


def _write_json(file: io.TextIOBase, columns: Sequence[str], rows: _Rows) -> None:
    _write_lines(file, rows, lambda row: dict(zip(columns, row, strict=True)))


def _write_rows(file: io.TextIOBase, _columns: Sequence[str], rows: _Rows) -> None:
    _write_lines(file, rows, lambda row: row)


def _write_lines(file: io.TextIOBase, rows: _Rows, shape: Callable[[Sequence[Any]], Any]) -> None:
    """A JSON array, with one row a line."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
    separator = "[\n"
    for chunk in rows.chunks(values.to_json, values.PLAIN):
        file.write(separator + ",\n".join([encode(shape(row)) for row in chunk]))
        separator = ",\n"
    file.write("\n]\n" if rows.count else "[]\n")


def _write_csv(file: io.TextIOBase, columns: Sequence[str], rows: _Rows) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for chunk in rows.chunks(values.to_csv, values.PLAIN_IN_CSV):
        writer.writerows(chunk)


_WRITERS: Final[Mapping[str, Callable[[io.TextIOBase, Sequence[str], _Rows], None]]] = {
    "json": _write_json,
    "rows": _write_rows,
    "csv": _write_csv,
}
