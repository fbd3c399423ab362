"""sql_query: SQL against SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from typing import Any

import pytest
import services
from pydantic import ValidationError

from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.steps.sdk import StepError, StepRefused


def query(run: Any, database: str, text: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    return run("sql_query", {"connection": database, "query": text, "parameters": parameters, **more})


@pytest.fixture
def table(run: Any, database: str) -> str:
    """The same database, with a table ``item`` of three rows."""
    query(run, database, "CREATE TABLE item (id integer PRIMARY KEY, name varchar(40) NOT NULL)")
    query(run, database, "INSERT INTO item VALUES (1, 'ink'), (2, 'paper'), (3, 'quill')")
    return database


# --- binding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("SELECT name FROM item WHERE id = $1", [2]),
        ("SELECT name FROM item WHERE id = ?", [2]),
        ("SELECT name FROM item WHERE id = %s", [2]),
        ("SELECT name FROM item WHERE id = :id", {"id": 2}),
        ("SELECT name FROM item WHERE id = $2 AND name <> $1 AND id = $2", ["%s ? :id", 2]),
        ("SELECT name FROM item WHERE name LIKE '%ape%' AND name <> '? $1 :x' AND id = ? -- ? $1\n", [2]),
        ("SELECT name /* ? :no */ FROM item WHERE id % 4 = :id AND name = :name", {"id": 2, "name": "paper"}),
    ],
)
def test_every_style_of_placeholder_works_in_every_engine(run: Any, table: str, text: str, parameters: Any) -> None:
    """A list binds $1, ? and %s, a map :name; what stands in strings and comments is text."""
    output = query(run, table, text, parameters)
    assert (output["rows"], output["row_count"], output["affected"]) == ([{"name": "paper"}], 1, None)


NASTY = [
    "'; DROP TABLE item; --",
    '"',
    "\\",
    "\\' OR 1=1",
    "%s %(a)s %%",
    "?",
    ":a $1",
    "line\nbreak",
    "ünïcödé 🚀",
    "",
]


@pytest.mark.parametrize("value", NASTY)
def test_text_comes_back_as_it_was_bound(run: Any, table: str, value: str) -> None:
    """No character of a value is ever read as SQL."""
    query(run, table, "INSERT INTO item (id, name) VALUES (?, ?)", [9, value])
    assert query(run, table, "SELECT name FROM item WHERE name = ?", [value])["rows"] == [{"name": value}]
    assert query(run, table, "SELECT count(*) AS n FROM item")["rows"] == [{"n": 4}]


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("SELECT ?", [], "the query has 1 placeholder ?, but there are 0 parameters"),
        ("SELECT ?, ?", [1], "the query has 2 placeholders ?, but there are 1 parameter"),
        ("SELECT %s", [1, 2], "the query has 1 placeholder %s, but there are 2 parameters"),
        ("SELECT 1", [1], "the query has 0 placeholders, but there are 1 parameter"),
        ("SELECT $2", [1, 2], "the query does not use parameter $1; there are 2 parameters"),
        ("SELECT $3, $1", [1, 2], "the query says $3, but there are 2 parameters"),
        ("SELECT $1", None, "the query has a placeholder $1, but there are no parameters"),
        ("SELECT :nmae", {"name": 1}, "the query says :nmae, which is not in parameters; is it name?"),
        ("SELECT :a", {"a": 1, "b": 2}, "the query does not use the parameters b; it says :name for each"),
        ("SELECT ?", {"a": 1}, "parameters is a map, so the query must say :name where it says ?"),
        ("SELECT :a", [1], "the query says :name, so parameters must be a map"),
        ("BEGIN; SELECT 1; COMMIT", None, "BEGIN is not needed: the statements run in one transaction; to control"),
        (" -- nothing\n;", None, "the query holds no statement"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    run: Any, database: str, text: str, parameters: Any, message: str
) -> None:
    """Too many, too few and misspelt parameters are told apart, before the server sees the query."""
    with pytest.raises(StepRefused) as refusal:
        query(run, database, text, parameters)
    assert str(refusal.value).startswith(message)


def test_lists_and_objects_are_bound_as_the_engine_has_them(run: Any, database: str, engine: str) -> None:
    """Objects are JSON text; lists are arrays in PostgreSQL, JSON text elsewhere and where they are cast."""
    value = {"a": [1, None, "ü"]}
    if engine == "postgresql":
        text = "SELECT $1::jsonb AS o, $2::jsonb AS l, 2 = ANY($3) AS found, $4::text[] AS t, $5::jsonb ? 'a' AS has"
        row = query(run, database, text, [value, [1, "x"], [1, 2], ["a", None], value])["rows"][0]
        assert row == {"o": value, "l": [1, "x"], "found": True, "t": ["a", None], "has": True}
    else:
        row = query(run, database, "SELECT ? AS o, ? AS l", [value, [1, 2]])["rows"][0]
        assert [json.loads(text) for text in row.values()] == [value, [1, 2]]


# --- values ---------------------------------------------------------------------------------------

POSTGRES_VALUES = [
    ("1.50::numeric", 1.5),
    ("12::numeric", 12),
    ("12345678901234567.89::numeric", "12345678901234567.89"),
    ("'NaN'::float8", "NaN"),
    ("'-Infinity'::numeric", "-Infinity"),
    ("9007199254740993::bigint", 9007199254740993),
    ("true", True),
    ("null", None),
    ("date '2026-02-03'", "2026-02-03"),
    ("timestamp '2026-02-03 04:05:06.5'", "2026-02-03T04:05:06.500000"),
    ("timestamptz '2026-02-03 04:05:06+00'", "2026-02-03T04:05:06+00:00"),
    ("time '04:05:06'", "04:05:06"),
    ("interval '1 year 2 months 3 days 4.5 seconds'", "P1Y2M3DT4.5S"),
    ("'6f1c1e4e-0000-4000-8000-000000000001'::uuid", "6f1c1e4e-0000-4000-8000-000000000001"),
    (r"'\x00ff'::bytea", "AP8="),
    ("array[[1,2],[3,null]]", [[1, 2], [3, None]]),
    ("""'{"a": [1.5, null]}'::jsonb""", {"a": [1.5, None]}),
    ("'[1,5)'::int4range", "[1, 5)"),
    ("inet '10.0.0.1'", "10.0.0.1"),
]


def test_postgresql_values_become_json_without_loss(run: Any, context: Any, postgres: services.Server) -> None:
    """Every type has one JSON form, exact where JSON can be."""
    context.connections = LocalConnections({})
    text = "SET timezone = 'UTC'; SELECT " + ", ".join(
        f"{value} AS c{n}" for n, (value, _) in enumerate(POSTGRES_VALUES)
    )
    row = query(run, postgres.url, text)["rows"][0]
    assert list(row.values()) == [expected for _, expected in POSTGRES_VALUES]


MARIADB_VALUES = [
    ("cast(1.50 AS decimal(5,2))", 1.5),
    ("cast('2026-02-03' AS date)", "2026-02-03"),
    ("cast('2026-02-03 04:05:06' AS datetime)", "2026-02-03T04:05:06"),
    ("cast('-04:05:06' AS time)", "-04:05:06"),
    ("unhex('00ff')", "AP8="),
    ("1.5e0", 1.5),
    ("null", None),
    ("'ünïcödé 🚀'", "ünïcödé 🚀"),
]


def test_mariadb_values_become_json_without_loss(run: Any, context: Any, mariadb: services.Server) -> None:
    """The same for MariaDB, where a TIME is as the server writes it."""
    context.connections = LocalConnections({})
    text = "SELECT " + ", ".join(f"{value} AS c{n}" for n, (value, _) in enumerate(MARIADB_VALUES))
    assert list(query(run, mariadb.url, text)["rows"][0].values()) == [expected for _, expected in MARIADB_VALUES]


def test_sqlite_values_become_json_without_loss(run: Any, context: Any) -> None:
    """SQLite has numbers, text, bytes, null, and infinity."""
    context.connections = LocalConnections({})
    row = query(run, "sqlite://", "SELECT 1 AS a, 1.5 AS b, 'ü' AS c, x'00ff' AS d, null AS e, 9e999 AS f")["rows"][0]
    assert row == {"a": 1, "b": 1.5, "c": "ü", "d": "AP8=", "e": None, "f": "Infinity"}


# --- output ---------------------------------------------------------------------------------------


def test_rows_take_the_shape_that_is_asked_for(run: Any, table: str) -> None:
    """Objects by default, lists, or CSV text; a repeated column name is told apart."""
    text = "SELECT id, name, id FROM item ORDER BY id"
    assert query(run, table, text)["columns"] == ["id", "name", "id_2"]
    assert query(run, table, text)["rows"][0] == {"id": 1, "name": "ink", "id_2": 1}
    assert query(run, table, text, output_format="rows")["rows"][2] == [3, "quill", 3]
    assert query(run, table, text, output_format="csv")["rows"] == "id,name,id_2\n1,ink,1\n2,paper,2\n3,quill,3\n"


@pytest.mark.parametrize(
    ("file", "output_format", "read"),
    [
        ("out/rows.json", None, lambda text: json.loads(text)),
        (
            "out/rows.csv",
            None,
            lambda text: [{**row, "id": int(row["id"])} for row in csv.DictReader(text.splitlines())],
        ),
        ("out/rows.txt", "rows", lambda text: [{"id": row[0], "name": row[1]} for row in json.loads(text)]),
    ],
)
def test_a_file_takes_all_rows(run: Any, table: str, workspace: Any, file: str, output_format: Any, read: Any) -> None:
    """With output_file the rows go there, in the format its name or output_format says, without the usual limit."""
    more = "INSERT INTO item SELECT a.id * 10000 + b.id * 100 + c.id, 'more, \"quoted\"' FROM item a, item b, item c"
    query(run, table, more)
    given = {"output_format": output_format} if output_format else {}
    output = query(run, table, "SELECT id, name FROM item ORDER BY id", output_file=file, **given)
    assert (output["rows"], output["row_count"], output["output_file"], output["truncated"]) == ([], 30, file, False)
    rows = read((workspace.root / file).read_text())
    assert (len(rows), rows[0], rows[-1]) == (30, {"id": 1, "name": "ink"}, {"id": 30303, "name": 'more, "quoted"'})


@pytest.mark.parametrize(("limit", "count", "truncated"), [(0, 0, True), (2, 2, True), (3, 3, False), (9, 3, False)])
def test_rows_beyond_the_limit_are_left(run: Any, table: str, limit: int, count: int, truncated: bool) -> None:
    """max_rows bounds what is read, and truncated says whether there was more; writes before it stay."""
    output = query(run, table, "UPDATE item SET name = 'x'; SELECT * FROM item ORDER BY id", max_rows=limit)
    assert (len(output["rows"]), output["row_count"], output["truncated"]) == (count, count, truncated)
    assert output["affected"] == 3
    assert query(run, table, "SELECT count(*) AS n FROM item WHERE name = 'x'")["rows"] == [{"n": 3}]


def test_an_empty_result_is_an_empty_list_with_its_columns(run: Any, table: str, workspace: Any) -> None:
    """No rows are no fault, and a file of none is still JSON."""
    output = query(run, table, "SELECT id, name FROM item WHERE id > 5", output_file="none.json")
    assert (output["columns"], output["row_count"]) == (["id", "name"], 0)
    assert json.loads((workspace.root / "none.json").read_text()) == []


@pytest.mark.parametrize(
    ("text", "affected"),
    [
        ("INSERT INTO item VALUES (7, 'a'), (8, 'b')", 2),
        ("UPDATE item SET name = name", 3),
        ("DELETE FROM item WHERE id > 1", 2),
        ("DELETE FROM item WHERE id = 1; UPDATE item SET name = 'y'", 3),
        ("CREATE TABLE other (id integer)", 0),
        ("SELECT id FROM item", None),
    ],
)
def test_affected_counts_rows_that_were_written(run: Any, table: str, text: str, affected: int | None) -> None:
    """The sum over all statements; null where a query only reads."""
    assert query(run, table, text)["affected"] == affected


def test_without_fetch_statements_run_and_nothing_is_read(run: Any, table: str) -> None:
    """fetch: false is for what is run for its effect."""
    output = query(run, table, "SELECT * FROM item", fetch=False)
    assert (output["columns"], output["rows"], output["row_count"]) == ([], [], 0)


def test_a_statement_may_write_and_give_rows(run: Any, table: str) -> None:
    """INSERT … RETURNING gives its rows, and says how many there are."""
    output = query(run, table, "INSERT INTO item VALUES (?, ?), (?, ?) RETURNING id", [7, "a", 8, "b"])
    assert (output["rows"], output["affected"]) == ([{"id": 7}, {"id": 8}], 2)


# --- transactions ---------------------------------------------------------------------------------


def test_a_failing_statement_undoes_the_ones_before_it(run: Any, table: str) -> None:
    """All statements are one transaction, and the message says which one failed."""
    with pytest.raises(StepError, match=r"^statement 2 of 2: .*(UNIQUE|unique|Duplicate)"):
        query(run, table, "INSERT INTO item VALUES (4, 'x'); INSERT INTO item VALUES (1, 'again')")
    assert query(run, table, "SELECT count(*) AS n FROM item")["rows"] == [{"n": 3}]


def test_without_a_transaction_each_statement_stands(run: Any, table: str) -> None:
    """transaction: false keeps what was done before the failure."""
    with pytest.raises(StepError):
        query(run, table, "INSERT INTO item VALUES (4, 'x'); INSERT INTO item VALUES (1, 'again')", transaction=False)
    assert query(run, table, "SELECT count(*) AS n FROM item", transaction=False)["rows"] == [{"n": 4}]


def test_what_cannot_run_in_a_transaction_says_how_it_can(run: Any, context: Any, postgres: services.Server) -> None:
    """VACUUM names the parameter that lets it run, and runs with it."""
    context.connections = LocalConnections({})
    with pytest.raises(StepRefused, match=r"cannot run inside a transaction block; set transaction: false$"):
        query(run, postgres.url, "VACUUM")
    assert query(run, postgres.url, "VACUUM", transaction=False)["affected"] == 0


def test_a_failure_while_rows_are_written_leaves_the_old_file(
    run: Any, context: Any, postgres: services.Server, workspace: Any
) -> None:
    """The file is replaced whole or not at all, though the fault comes after many rows."""
    context.connections = LocalConnections({})
    (workspace.root / "out.json").write_text("before")
    with pytest.raises(StepRefused, match=r"^division by zero \[22012\]$"):
        query(run, postgres.url, "SELECT 1 / (30000 - n) FROM generate_series(1, 40000) n", output_file="out.json")
    assert (workspace.root / "out.json").read_text() == "before"
    assert [path.name for path in workspace.root.iterdir()] == ["out.json"]


# --- refusals and faults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "text", "message"),
    [
        ("sqlite:///../out.db", "SELECT 1", 'path "../out.db" leaves the workspace'),
        ("sqlite:////etc/passwd", "SELECT 1", 'path "/etc/passwd" leaves the workspace'),
        ("sqlite://file.db", "SELECT 1", "a SQLite URL has three slashes before a path in the workspace"),
        ("sqlite:///a.db?mod=ro", "SELECT 1", 'the connection URL has an unknown option "mod"; is it mode?'),
        ("sqlite:///a.db", "ATTACH '/tmp/other.db' AS o", "this statement is refused: a step works on one SQLite file"),
        ("sqlite:///a.db", "VACUUM INTO '/tmp/other.db'", "this statement is refused: a step works on one SQLite file"),
        ("sqlite:///a.db", "SELEC 1", 'near "SELEC": syntax error'),
        (
            "postgresql://h/d?sslmod=require",
            "SELECT 1",
            'the connection URL has an unknown option "sslmod"; is it sslmode',
        ),
        ("nosuch://host/db", "SELECT 1", '"nosuch" is no kind of database that can be opened here'),
    ],
)
def test_refused_connections_and_statements(run: Any, context: Any, url: str, text: str, message: str) -> None:
    """Files outside the workspace, other files, misspelt options and unknown engines are refused."""
    context.connections = LocalConnections({})
    with pytest.raises(StepRefused) as refusal:
        query(run, url, text, transaction=not text.startswith("VACUUM"))
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_sqlite_file_is_made_only_where_the_url_allows_it(run: Any, context: Any, workspace: Any, mode: str) -> None:
    """?mode=ro and ?mode=rw want an existing file; ro does not write."""
    context.connections = LocalConnections({})
    with pytest.raises(StepError, match=r"^the SQLite database a\.db does not exist$"):
        query(run, f"sqlite:///a.db?mode={mode}", "SELECT 1")
    assert list(workspace.root.iterdir()) == []
    query(run, "sqlite:///a.db", "CREATE TABLE t (x)")
    with pytest.raises(StepError, match="attempt to write a readonly database"):
        query(run, "sqlite:///a.db?mode=ro", "INSERT INTO t VALUES (1)")


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_a_forbidden_host_is_not_spoken_to(run: Any, context: Any, server: str, request: pytest.FixtureRequest) -> None:
    """The host policy is asked before anything is opened."""
    context.connections = LocalConnections({})
    context.refused_hosts = {"127.0.0.1"}
    with pytest.raises(StepRefused, match=r'^host "127\.0\.0\.1" is not allowed$'):
        query(run, request.getfixturevalue(server).url, "SELECT 1")


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("postgres", r"password authentication failed for user \"tester\""),
        ("mariadb", r"^Access denied for user 'tester'@'.*' \(using password: YES\) \[1045\]$"),
    ],
)
def test_a_wrong_password_is_said_and_not_shown(
    run: Any, context: Any, server: str, message: str, request: pytest.FixtureRequest
) -> None:
    """Logging in is not tried again, and the message is one line without the password."""
    context.connections = LocalConnections({})
    url = request.getfixturevalue(server).url.replace(services.ENCODED_PASSWORD, "wr0ng-password")
    with pytest.raises(StepRefused, match=message) as refusal:
        query(run, url, "SELECT 1")
    assert "wr0ng" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "sqlalche.me" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_nobody_listening_is_a_fault_that_a_retry_may_mend(run: Any, context: Any, scheme: str) -> None:
    """A server that is down is a StepError with its place, not a refusal."""
    context.connections = LocalConnections({})
    with pytest.raises(StepError, match=r"^\w+ database d at 127\.0\.0\.1:\d+: .*[Cc]onnect") as fault:
        query(run, f"{scheme}://u:pa55word@127.0.0.1:{services.free_port()}/d", "SELECT 1")
    assert not isinstance(fault.value, StepRefused)
    assert "pa55word" not in str(fault.value)


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("SELECT * FROM missing", None, r"missing"),
        ("SELECT FROM WHERE", None, r"syntax"),
        (
            "INSERT INTO item (id, name) VALUES (?, ?)",
            [10**30, "x"],
            r"(too large|does not fit|out of range|Out of range)",
        ),
    ],
)
def test_faults_of_a_statement_are_one_line(run: Any, table: str, text: str, parameters: Any, message: str) -> None:
    """What the engine says, without positions, links or stack."""
    with pytest.raises(StepError, match=message) as fault:
        query(run, table, text, parameters)
    assert "\n" not in str(fault.value)
    assert len(str(fault.value)) < 250


def test_text_that_is_not_unicode_is_a_fault(run: Any, context: Any, workspace: Any) -> None:
    """Bytes that SQLite holds as text and that are none are reported, not replaced."""
    context.connections = LocalConnections({})
    with pytest.raises(StepError, match="Could not decode to UTF-8"):
        query(run, "sqlite:///a.db", "SELECT CAST(x'ff' AS text) AS t")


def test_a_file_that_is_no_database_is_refused(run: Any, context: Any) -> None:
    """The file is named as the mission names it."""
    context.connections = LocalConnections({})
    with pytest.raises(StepRefused, match=r"^notes\.txt is not a SQLite database$"):
        run("sql_query", {"database": "sqlite:///notes.txt", "sql": "SELECT * FROM t"}, files={"notes.txt": "x" * 4096})


@pytest.mark.parametrize("given", [{"query": ""}, {}, {"query": "SELECT 1", "max_rows": -1}])
def test_parameters_that_cannot_be(run: Any, given: dict[str, Any]) -> None:
    """An empty query, no query and a negative limit are invalid."""
    with pytest.raises(ValidationError):
        run("sql_query", {"connection": "sqlite://", **given})


# --- stopped in the middle ------------------------------------------------------------------------


def sleepers(server: services.Server) -> int:
    """Sessions of steps that are at work on the server."""
    with services.psycopg_connection(server) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'rustchain-airflow mission/step' AND wait_event = 'PgSleep'"
        ).fetchone()
        return int(row[0])


def test_a_timed_out_statement_ends_on_the_server_and_is_undone(attempt: Any, postgres: services.Server) -> None:
    """The connection is closed: the server has no such session any more, and none of its rows."""
    services.empty(postgres)
    text = "CREATE TABLE t (x int); INSERT INTO t VALUES (1); SELECT pg_sleep(600)"
    result = attempt("sql_query", {"connection": postgres.url, "query": text}, timeout=2)
    assert (result.status, result.error) == (StepStatus.FAILED, "timed out after 2 s")
    services.wait_until(lambda: sleepers(postgres) == 0, "the session's end")
    with services.psycopg_connection(postgres) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_a_cancelled_statement_ends_on_the_server(attempt: Any, postgres: services.Server) -> None:
    """Long before its time limit, because the server looks whether the step still lives."""
    import threading

    with StopToken() as mission:

        def cancel_once_it_runs() -> None:
            services.wait_until(lambda: sleepers(postgres) == 1, "the statement's start")
            mission.cancel("cancelled")

        canceller = threading.Thread(target=cancel_once_it_runs)
        canceller.start()
        parameters = {"connection": postgres.url, "query": "SELECT pg_sleep(600)"}
        result = attempt("sql_query", parameters, timeout=600, stop=mission)
        canceller.join()
    assert (result.status, result.error) == (StepStatus.FAILED, "cancelled")
    services.wait_until(lambda: sleepers(postgres) == 0, "the session's end")


def test_a_timed_out_statement_of_mariadb_is_undone(attempt: Any, mariadb: services.Server) -> None:
    """The server gives the statement up, and rolls back what came before it."""
    services.empty(mariadb)
    with services.pymysql_connection(mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x int)")
        text = "INSERT INTO t VALUES (1); SELECT sleep(600)"
        result = attempt("sql_query", {"connection": mariadb.url, "query": text}, timeout=2)
        assert result.error == "timed out after 2 s"

        def sessions() -> int:
            cursor.execute("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep(600)%'")
            return int(cursor.fetchone()[0])

        services.wait_until(lambda: sessions() == 0, "the session's end")
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (0,)


def test_a_connection_that_the_server_cuts_is_a_fault(run: Any, context: Any, postgres: services.Server) -> None:
    """The step fails at once and may be tried again."""
    context.connections = LocalConnections({})
    with pytest.raises(
        StepError, match=r"PostgreSQL database test at 127\.0\.0\.1:\d+: terminating connection"
    ) as fault:
        query(run, postgres.url, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert not isinstance(fault.value, StepRefused)


def test_a_locked_sqlite_file_is_waited_for_until_the_time_is_over(attempt: Any, workspace: Any) -> None:
    """Another writer holds the file: the step waits, and ends with its own time limit."""
    with sqlite3.connect(workspace.root / "a.db") as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.commit()
        holder.execute("BEGIN IMMEDIATE")
        result = attempt("sql_query", {"connection": "sqlite:///a.db", "query": "INSERT INTO t VALUES (1)"}, timeout=1)
        assert result.error in ("timed out after 1 s", "database is locked")
        holder.rollback()
        assert holder.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_the_password_of_a_connection_is_masked_in_what_comes_back(attempt: Any, postgres: services.Server) -> None:
    """Even a query that gives the password back shows none of it."""
    parameters = {"connection": "warehouse", "query": "SELECT $1 AS p", "parameters": [services.PASSWORD]}
    result = attempt("sql_query", parameters, environment={"AIRFLOW_CONN_WAREHOUSE": postgres.url})
    assert result.status is StepStatus.SUCCESS, result.error
    assert result.output["rows"] == [{"p": "***"}]


def test_a_million_rows_stream_to_a_file(attempt: Any, postgres: services.Server, workspace: Any) -> None:
    """However many rows there are, they pass through: every one is in the file."""
    parameters = {
        "connection": postgres.url,
        "query": "SELECT n, 'name ' || n AS name FROM generate_series(1, 1000000) n",
        "output_file": "big.csv",
    }
    result = attempt("sql_query", parameters, timeout=120)
    assert result.output is not None, result.error
    assert result.output["row_count"] == 1_000_000
    with (workspace.root / "big.csv").open() as file:
        assert sum(1 for _ in file) == 1_000_001
    assert math.isclose((workspace.root / "big.csv").stat().st_size, 18.8e6, rel_tol=0.05)
