"""Back up a database."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Final, Literal

from pydantic import Field

from rustchain_airflow.steps.database.database import Database, fault, find, libpq_options
from rustchain_airflow.steps.database.statements import Dialect
from rustchain_airflow.steps.sdk import (
    Alias,
    ConnectionReference,
    Output,
    Parameters,
    ProcessResult,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    step,
)

_CHUNK: Final = 1024 * 1024
_PAGES: Final = 1_000
_TAIL_BYTES: Final = 4_096
_CUSTOM_SUFFIXES: Final = (".dump", ".pgdump", ".backup")
_LONGEST_WAITING_SECONDS: Final = 86_400.0

_CREATE_TABLE = re.compile(rb"^CREATE (?:UNLOGGED |FOREIGN )?TABLE (?:IF NOT EXISTS )?(.+?) \($")
_LISTED_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (?!DATA )(\S+) (.+) \S+$")
_VERSION_OF_SERVER = re.compile(r"server version: ([\d.]+)")
_VERSION_OF_TOOL = re.compile(r"pg_dump version: ([\d.]+)")


class DbBackupParameters(Parameters):
    connection: Annotated[ConnectionReference, Alias("source", "database_url", "database", "conn_id")] = Field(
        description="An Airflow connection id, or a URL of SQLite, PostgreSQL, MySQL or MariaDB."
    )
    destination: Annotated[WritePath, Alias("output_file", "backup_path")] = Field(
        description="The file to write. It appears whole, and verified, or not at all."
    )
    format: Literal["sql", "custom", "file"] | None = Field(
        None,
        description="`sql`: statements as text; `custom`: PostgreSQL's format for pg_restore; `file`: a SQLite file. "
        "Default: `file` for SQLite, unless the destination ends in `.sql`; `custom` for PostgreSQL where it ends in "
        "`.dump`, `.pgdump` or `.backup`; else `sql`.",
    )
    tables: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None, min_length=1, description="Tables to back up, in PostgreSQL with their schema if need be. Default: all."
    )
    compress: Literal["gzip"] | bool | None = Field(
        None, description="Compress with gzip. Default: where the destination ends in `.gz`."
    )
    verify: bool = Field(True, description="Check the backup before it takes its place.")


class DbBackupOutput(Output):
    main: ClassVar[str | None] = "destination"

    destination: str = Field(description="The file.")
    size: int = Field(description="Bytes of the file.")
    engine: str = Field(description="sqlite, postgresql, mysql or mariadb.")
    tables: list[str] = Field(description="Tables in the backup, in the order of their names.")
    sha256: str = Field(description="Digest of the file.")
    duration_ms: int = Field(description="Time it took.")


@step(idempotent=True)
def db_backup(parameters: DbBackupParameters, context: StepContext) -> DbBackupOutput:
    """Back up a database with the engine's own tool.

    SQLite is copied by its backup interface, while others go on writing; PostgreSQL by `pg_dump`, MySQL and MariaDB
    by `mysqldump` or `mariadb-dump` in one transaction, with routines, triggers and events. Passwords go to the
    programs by their environment or standard input, never on a command line or in a file.

    With `verify` a SQLite copy passes `PRAGMA integrity_check`, a custom dump is listed by `pg_restore`, and SQL text
    ends with the line that its tool writes last. A missing tool, or one older than the server, is refused.
    """
    began = time.monotonic()
    database = find(parameters.connection, context)
    chosen = _format(parameters, database)
    with context.workspace.staging(parameters.destination) as folder:
        draft = _Draft(parameters, database, chosen, f"{folder}/backup", context)
        tables = draft.make()
        size, digest = draft.publish(compress=_compresses(parameters))
    return DbBackupOutput(
        destination=context.workspace.relative(parameters.destination),
        size=size,
        engine=database.kind if database.dialect is Dialect.MYSQL else database.dialect.value,
        tables=sorted(tables),
        sha256=digest,
        duration_ms=round((time.monotonic() - began) * 1000),
    )


def _compresses(parameters: DbBackupParameters) -> bool:
    if parameters.compress is None:
        return parameters.destination.lower().endswith(".gz")
    return bool(parameters.compress)


def _format(parameters: DbBackupParameters, database: Database) -> str:
    name = parameters.destination.lower().removesuffix(".gz")
    possible: tuple[str, ...]
    match database.dialect:
        case Dialect.SQLITE:
            possible = ("sql", "file")
            default = "sql" if name.endswith(".sql") else "file"
        case Dialect.POSTGRESQL:
            possible = ("sql", "custom")
            default = "custom" if name.endswith(_CUSTOM_SUFFIXES) else "sql"
        case Dialect.MYSQL:
            possible, default = ("sql",), "sql"
        case _:
            raise StepRefused(f"db_backup knows sqlite, postgresql, mysql and mariadb, not {database.kind}")
    if database.dialect is not Dialect.SQLITE and not database.name:
        raise StepRefused("the connection names no database to back up")
    if parameters.format and parameters.format not in possible:
        raise StepRefused(
            f"format {parameters.format} is not for {database.dialect.value}: give {' or '.join(possible)}"
        )
    return parameters.format or default


@dataclass(frozen=True)
class _Draft:
    """A backup on its way: made beside its destination, checked, then put in place."""

    parameters: DbBackupParameters
    database: Database
    format: str
    path: str
    context: StepContext

    @property
    def _file(self) -> Path:
        return self.context.workspace.locate(self.path)

    def make(self) -> list[str]:
        """Write and check the backup; the tables in it."""
        match self.database.dialect:
            case Dialect.SQLITE:
                return _back_up_sqlite(self)
            case Dialect.POSTGRESQL:
                return self._dump_postgresql()
            case _:
                return self._dump_mysql()

    def publish(self, *, compress: bool) -> tuple[int, str]:
        """Put the backup in place, compressed or not; its size and digest."""
        workspace = self.context.workspace
        with workspace.open(self.path) as source, workspace.write(self.parameters.destination, mode=0o600) as file:
            target = _Digesting(file)
            if compress:
                # Without a name or a time inside, equal backups are equal files.
                with gzip.GzipFile("", "wb", 6, target, mtime=0) as packed:
                    shutil.copyfileobj(source, packed, _CHUNK)
            else:
                shutil.copyfileobj(source, target, _CHUNK)
        return target.size, target.digest.hexdigest()

    # --- PostgreSQL -------------------------------------------------------------------------------

    def _dump_postgresql(self) -> list[str]:
        database = self.database
        program = _tool(["pg_dump"], "postgresql-client", self.context)
        arguments = [program, f"--file={self._file}", "--no-password"]
        arguments += ["--format=custom"] if self.format == "custom" else ["--format=plain"]
        if self.parameters.tables:
            arguments += ["--strict-names", *(f"--table={_pattern(table)}" for table in self.parameters.tables)]
        done = self._run([*arguments, f"--dbname={_conninfo(libpq_options(database, self.context))}"], self._password)
        if done.exit_code:
            raise _pg_dump_fault(done, database)
        if self.format == "sql":
            return self._tables_of_text(b"-- PostgreSQL database dump complete")
        return self._tables_of_archive()

    @property
    def _password(self) -> dict[str, str]:
        return {"PGPASSWORD": self.database.password} if self.database.password else {}

    def _tables_of_archive(self) -> list[str]:
        program = _tool(["pg_restore"], "postgresql-client", self.context)
        done = self.context.processes.run([program, "--list", str(self._file)], max_output_bytes=64 * _CHUNK)
        if done.exit_code:
            raise StepError(f"the backup cannot be read back: {_last_line(done.stderr)}")
        found = [match for line in done.stdout.splitlines() if (match := _LISTED_TABLE.match(line))]
        return [
            name if schema == "public" else f"{schema}.{name}" for schema, name in (match.groups() for match in found)
        ]

    # --- MySQL and MariaDB ------------------------------------------------------------------------

    def _dump_mysql(self) -> list[str]:
        database = self.database
        names = ["mysqldump", "mariadb-dump"]
        if database.kind == "mariadb":
            names.reverse()
        program = _tool(names, "mariadb-client (or default-mysql-client)", self.context)
        arguments = [
            program,
            # First, and the only file of options that is read: the password is in it.
            "--defaults-file=/dev/stdin",
            "--single-transaction",
            "--quick",
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
            f"--result-file={self._file}",
            "--",
            database.name or "",
            *(self.parameters.tables or ()),
        ]
        done = self._run(arguments, {}, stdin=_option_file(database))
        if done.exit_code:
            raise _mysqldump_fault(done, database)
        return self._tables_of_text(b"-- Dump completed")

    # --- what both share --------------------------------------------------------------------------

    def _run(self, arguments: Sequence[str], environment: dict[str, str], stdin: str | None = None) -> ProcessResult:
        return self.context.processes.run(arguments, environment={"LC_ALL": "C", **environment}, stdin=stdin)

    def _tables_of_text(self, last_line: bytes) -> list[str]:
        """The tables a dump creates. StepError when it does not end as its tool ends a whole one."""
        tables: list[str] = []
        complete = in_data = False
        with self.context.workspace.open(self.path) as file:
            for line in file:
                if in_data:
                    in_data = line.rstrip(b"\r\n") != rb"\."
                elif line.startswith(b"COPY ") and line.rstrip().endswith(b" FROM stdin;"):
                    in_data = True
                elif match := _CREATE_TABLE.match(line.rstrip()):
                    tables.append(_plain_name(match[1].decode("utf-8", "replace")))
                elif line.startswith(last_line):
                    complete = True
        if self.parameters.verify and not complete:
            raise StepError("the backup is not whole: its last line is missing")
        return tables


class _Digesting:
    """Passes what is written on to a file, and remembers its size and digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        written = self._file.write(data)
        self.size += written
        self.digest.update(data)
        return written

    def flush(self) -> None:
        self._file.flush()


def _tool(names: Sequence[str], package: str, context: StepContext) -> str:
    for name in names:
        if shutil.which(name, path=context.environment.get("PATH")):
            return name
    raise StepRefused(f"{names[0]} was not found on the PATH; on Debian and Ubuntu: apt-get install {package}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


# --- PostgreSQL -----------------------------------------------------------------------------------


def _conninfo(options: dict[str, Any]) -> str:
    """Connection parameters as libpq reads them from one argument; none of them is a password."""

    def quoted(value: object) -> str:
        return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"

    return " ".join(f"{name}={quoted(value)}" for name, value in options.items() if name != "sslpassword")


def _pattern(table: str) -> str:
    """A table as a pattern of pg_dump that matches nothing else: quoted, so capitals and stars are themselves."""
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in _parts(table))


def _parts(table: str) -> list[str]:
    """``schema.table`` in its parts; quoted ones may hold dots."""
    parts = re.findall(r'"((?:[^"]|"")*)"|([^."]+)', table)
    return [(quoted or plain).replace('""', '"') for quoted, plain in parts] or [table]


def _plain_name(written: str) -> str:
    """A table as a dump names it, without quotes, and without the schema that is everyone's."""
    if written.startswith("`"):
        return written.strip("`").replace("``", "`")
    parts = _parts(written)
    return ".".join(parts[1:] if parts[0] == "public" and len(parts) > 1 else parts)


def _pg_dump_fault(done: ProcessResult, database: Database) -> StepError:
    text = done.stderr
    if "server version mismatch" in text:
        server, tool = _VERSION_OF_SERVER.search(text), _VERSION_OF_TOOL.search(text)
        major = server[1].partition(".")[0] if server else "of the server's version"
        return StepRefused(
            f"pg_dump {tool[1] if tool else ''} is too old for the server, PostgreSQL {server[1] if server else ''}; "
            f"on Debian and Ubuntu: apt-get install postgresql-client-{major}"
        )
    if "no matching" in text:
        return StepRefused(f"a table to back up is not in the {database.label}: {_last_line(text)}")
    if "password authentication failed" in text or "no password supplied" in text:
        return StepRefused(f"{database.label}: {_last_line(text)}")
    return StepError(f"pg_dump failed on the {database.label}: {_last_line(text)}")


# --- MySQL and MariaDB ----------------------------------------------------------------------------


def _option_file(database: Database) -> str:
    """The connection as an option file, which a dump program reads from its standard input."""

    def quoted(value: object) -> str:
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'

    given = {
        "host": database.host,
        "port": database.port,
        "socket": database.options.get("unix_socket"),
        "user": database.login,
        "password": database.password,
        "ssl-ca": database.options.get("ssl_ca"),
        "ssl-cert": database.options.get("ssl_cert"),
        "ssl-key": database.options.get("ssl_key"),
    }
    lines = [f"{name}={quoted(value)}" for name, value in given.items() if value is not None]
    if database.host:
        lines.append("protocol=TCP")
    return "\n".join(["[client]", *lines, ""])


def _mysqldump_fault(done: ProcessResult, database: Database) -> StepError:
    line = _last_line(done.stderr)
    if "Couldn't find table" in line:
        return StepRefused(f"a table to back up is not in the {database.label}: {line}")
    kind = StepRefused if "Access denied" in line or "Unknown database" in line else StepError
    return kind(f"the dump of the {database.label} failed: {line}")


# --- SQLite ---------------------------------------------------------------------------------------

_TABLES: Final = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')"
_TABLES_BEFORE_3_37: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _back_up_sqlite(draft: _Draft) -> list[str]:
    database, workspace = draft.database, draft.context.workspace
    if database.file is None:
        raise StepRefused("a database in memory cannot be backed up: it is empty in every step")
    if not database.file.exists():
        raise StepError(f"the {database.label} does not exist")
    if workspace.locate(draft.parameters.destination) == database.file:
        raise StepRefused("the destination is the database itself")
    path = draft.path if draft.format == "file" else f"{draft.path}.db"
    mode = "ro" if database.read_only else "rw"
    try:
        with (
            closing(_open(f"{database.file.as_uri()}?mode={mode}", draft.context)) as source,
            closing(_open(workspace.locate(path).as_uri(), draft.context)) as copy,
        ):
            source.backup(copy, pages=_PAGES)
            copy.execute("PRAGMA journal_mode = DELETE")  # or the file would need its log beside it
            tables = _select_tables(copy, draft)
            if draft.parameters.verify:
                _check_integrity(copy, draft.database)
            if draft.format == "sql":
                _write_statements(copy, draft)
            return tables
    except sqlite3.Error as error:
        mapped = fault(error, database)
        assert mapped is not None
        raise mapped from error


def _open(uri: str, context: StepContext) -> sqlite3.Connection:
    waiting = min(context.remaining(), _LONGEST_WAITING_SECONDS)
    return sqlite3.connect(uri, uri=True, timeout=waiting, isolation_level=None)


def _select_tables(copy: sqlite3.Connection, draft: _Draft) -> list[str]:
    """Leave the wanted tables in the copy, with their indexes and triggers; their names."""
    query = _TABLES if sqlite3.sqlite_version_info >= (3, 37) else _TABLES_BEFORE_3_37
    tables = [name for (name,) in copy.execute(query) if not name.startswith("sqlite_")]
    wanted = draft.parameters.tables
    if wanted is None:
        return tables
    if absent := [table for table in wanted if table not in tables]:
        raise StepRefused(f"a table to back up is not in the {draft.database.label}: {', '.join(absent)}")
    for (view,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        copy.execute(f"DROP VIEW {_quoted(view)}")
    for table in tables:
        if table not in wanted:
            copy.execute(f"DROP TABLE {_quoted(table)}")
    copy.execute("VACUUM")
    return list(dict.fromkeys(wanted))


def _check_integrity(copy: sqlite3.Connection, database: Database) -> None:
    findings = [finding for (finding,) in copy.execute("PRAGMA integrity_check(3)")]
    if findings != ["ok"]:
        raise StepError(f"the {database.label} is damaged: {'; '.join(findings)}")


def _write_statements(copy: sqlite3.Connection, draft: _Draft) -> None:
    """The copy as SQL text; to verify it, each statement is run in another database, which is checked at the end."""
    workspace = draft.context.workspace
    restored = workspace.locate(f"{draft.path}.restored").as_uri() if draft.parameters.verify else ":memory:"
    with closing(_open(restored, draft.context)) as check, workspace.write(draft.path) as file:
        for statement in copy.iterdump():
            file.write(f"{statement}\n".encode())
            if draft.parameters.verify:
                check.execute(statement)
        if draft.parameters.verify:
            _check_integrity(check, draft.database)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
