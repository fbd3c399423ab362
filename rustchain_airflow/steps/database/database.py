"""Databases: which one a connection means, how it is opened, and what its errors say."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rustchain_airflow.steps.database.statements import Dialect
from rustchain_airflow.steps.sdk import (
    Connection,
    PathAccess,
    StepContext,
    StepError,
    StepRefused,
    require,
)

EXTRA: Final = "database"

_KINDS: Final = {
    "sqlite": Dialect.SQLITE,
    "sqlite3": Dialect.SQLITE,
    "postgres": Dialect.POSTGRESQL,
    "postgresql": Dialect.POSTGRESQL,
    "mysql": Dialect.MYSQL,
    "mariadb": Dialect.MYSQL,
}
_POSTGRESQL_OPTIONS: Final = """
    application_name channel_binding client_encoding connect_timeout gssencmode host keepalives keepalives_count
    keepalives_idle keepalives_interval options port require_auth sslcert sslcrl sslkey sslmode sslnegotiation
    sslpassword sslrootcert target_session_attrs tcp_user_timeout
"""
_MYSQL_OPTIONS: Final = """
    charset connect_timeout init_command sql_mode ssl ssl_ca ssl_cert ssl_disabled ssl_key ssl_key_password
    ssl_verify_cert ssl_verify_identity unix_socket
"""
_OPTIONS: Final = {
    Dialect.SQLITE: frozenset({"mode"}),
    Dialect.POSTGRESQL: frozenset(_POSTGRESQL_OPTIONS.split()),
    Dialect.MYSQL: frozenset(_MYSQL_OPTIONS.split()),
}
_LONGEST_CONNECTING_SECONDS: Final = 30
_LONGEST_WAITING_SECONDS: Final = 86_400.0
_NAME_OF: Final = {Dialect.SQLITE: "SQLite", Dialect.POSTGRESQL: "PostgreSQL", Dialect.MYSQL: "MySQL"}


@dataclass(frozen=True, slots=True)
class Database:
    """Where a database is and how to log in."""

    dialect: Dialect
    kind: str
    """As the connection says: ``mariadb`` is of dialect MySQL."""
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str | None = None
    """The database on its server, or the file as the mission wrote it; None for a SQLite database in memory."""
    file: Path | None = None
    """The SQLite file, judged by the path guard."""
    read_only: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    url: Any = field(default=None, repr=False)
    """The SQLAlchemy URL of a database of another dialect."""

    @property
    def label(self) -> str:
        """The database as messages name it: no credentials."""
        if self.dialect is Dialect.SQLITE:
            return f"SQLite database {self.name}" if self.name else "SQLite database in memory"
        place = (self.host or "") + (f":{self.port}" if self.port else "")
        name = _NAME_OF.get(self.dialect, self.kind)
        return f"{name} database" + (f" {self.name}" if self.name else "") + (f" at {place}" if place else "")


def find(reference: str, context: StepContext) -> Database:
    """The database a connection means. Raises StepRefused for hosts and files the policy forbids."""
    connection = context.connections.resolve(reference)
    kind, _, driver = connection.kind.lower().partition("+")
    dialect = _KINDS.get(kind, Dialect.OTHER)
    if dialect is Dialect.SQLITE:
        return _sqlite(connection, context)
    if dialect is Dialect.OTHER:
        return _other(connection, context)
    options = _options(connection, dialect, context)
    host = connection.host or options.pop("host", None)
    port = connection.port or options.pop("port", None)
    for each in (host or "").split(","):
        if each and not each.startswith("/"):
            context.check_host(each)
    if "unix_socket" not in options and dialect is Dialect.MYSQL and not host:
        host = "localhost"
        context.check_host(host)
    return Database(
        dialect,
        "mariadb" if "mariadb" in driver else kind,
        host=host,
        port=_number(port, "port"),
        login=connection.login,
        password=connection.password,
        name=connection.database,
        options=options,
    )


def _options(connection: Connection, dialect: Dialect, context: StepContext) -> dict[str, Any]:
    """What a URL's query or an Airflow connection's extra says about the connection.

    An unknown name in a URL is refused: it may be ``sslmode``, misspelt. An extra holds keys for other programs too.
    """
    known = _OPTIONS[dialect]
    given = dict(connection.extra or {})
    if connection.uri is not None and (unknown := [name for name in given if name not in known]):
        near = get_close_matches(unknown[0], known, n=1)
        raise StepRefused(
            f'the connection URL has an unknown option "{unknown[0]}"' + (f"; is it {near[0]}?" if near else "")
        )
    for name in ("sslpassword", "ssl_key_password"):
        if given.get(name):
            context.mask(str(given[name]))
    return {name: value for name, value in given.items() if name in known}


def _number(value: Any, what: str) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise StepRefused(f"the {what} of the connection is not a number") from None


def _sqlite(connection: Connection, context: StepContext) -> Database:
    if connection.uri is not None and connection.host:
        raise StepRefused("a SQLite URL has three slashes before a path in the workspace: sqlite:///file.db")
    written = connection.database or connection.host or ""
    if written in ("", ":memory:"):
        return Database(Dialect.SQLITE, "sqlite")
    options = _options(connection, Dialect.SQLITE, context)
    mode = options.get("mode", "rwc")
    if mode not in ("ro", "rw", "rwc"):
        raise StepRefused("the mode of a SQLite URL is ro, rw or rwc")
    read_only = mode == "ro"
    if not read_only:
        try:
            file = context.workspace.locate(written, access=PathAccess.WRITE)
        except StepRefused:
            read_only = True  # the policy may open it for reading; if not, this is refused too
    if read_only:
        file = context.workspace.locate(written)
    return Database(
        Dialect.SQLITE,
        "sqlite",
        name=written,
        file=file,
        read_only=read_only,
        options={"mode": "ro" if read_only else mode},
    )


def _other(connection: Connection, context: StepContext) -> Database:
    """A database that SQLAlchemy opens by URL. One without a host is taken for a file, and guarded as one."""
    sqlalchemy = require("sqlalchemy", EXTRA)
    try:
        if connection.uri is not None:
            url = sqlalchemy.make_url(connection.uri)
        else:
            url = sqlalchemy.URL.create(
                connection.kind,
                username=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                database=connection.database,
            )
        url.get_dialect()
    except (sqlalchemy.exc.ArgumentError, ImportError):
        raise StepRefused(
            f'"{connection.kind}" is no kind of database that can be opened here: it is sqlite, postgresql, mysql, '
            "mariadb, or one whose SQLAlchemy dialect is installed"
        ) from None
    if url.host:
        context.check_host(url.host)
    elif url.database and url.database != ":memory:":
        url = url.set(database=str(context.workspace.locate(url.database, access=PathAccess.WRITE)))
    return Database(
        Dialect.OTHER,
        connection.kind,
        host=url.host,
        port=url.port,
        login=url.username,
        name=connection.database,
        url=url,
    )


# --- sessions -------------------------------------------------------------------------------------


class Session:
    """One open connection to a database: a DB-API connection, and how its driver spells placeholders."""

    def __init__(self, database: Database, connection: Any, paramstyle: str) -> None:
        self.database = database
        self.connection = connection
        self.paramstyle = paramstyle
        self._cursors = 0

    def execute(self, text: str, arguments: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Run one statement; its cursor, which the caller closes. Errors are the driver's."""
        cursor = self.connection.cursor()
        return self._run(cursor, text, arguments)

    def stream(self, text: str, arguments: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Run a statement that gives rows, leaving on the server those that were not asked for yet."""
        match self.database.dialect:
            case Dialect.POSTGRESQL:
                self._cursors += 1
                cursor = self.connection.cursor(
                    f"rustchain_{self._cursors}", withhold=bool(self.connection.autocommit), scrollable=False
                )
            case Dialect.MYSQL:
                cursor = self.connection.cursor(require("pymysql.cursors", EXTRA).SSCursor)
            case _:
                cursor = self.connection.cursor()
        return self._run(cursor, text, arguments)

    @staticmethod
    def _run(cursor: Any, text: str, arguments: Sequence[Any] | Mapping[str, Any] | None) -> Any:
        if arguments is None:
            cursor.execute(text)
        else:
            cursor.execute(text, arguments)
        return cursor

    def rows(self, text: str, arguments: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Any]:
        """All rows of a small query."""
        cursor = self.execute(text, arguments)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def run(self, text: str, arguments: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        """Run a statement for its effect."""
        self.execute(text, arguments).close()

    def begin(self, *, exclusive: bool = False) -> None:
        """Start a transaction; one that writes may ask for SQLite's write lock at once."""
        if self.database.dialect is Dialect.SQLITE:
            self.run("BEGIN IMMEDIATE" if exclusive else "BEGIN")

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        """Undo the transaction, as far as the connection still stands; the server does so anyway when it ends."""
        with suppress(Exception):
            self.connection.rollback()


@contextmanager
def connect(database: Database, context: StepContext, *, autocommit: bool = False) -> Iterator[Session]:
    """An open connection, closed at the end; what was not committed is rolled back.

    The server is told to give up a statement when the step's time is over, and PostgreSQL to look whether this
    process still lives. Raises StepError or StepRefused for whatever the driver raises, also inside the block.
    """
    began = time.monotonic()
    opened: list[Any] = []
    try:
        session = _open(database, context, autocommit, opened)
        context.logger.info("connected to the %s in %d ms", database.label, round((time.monotonic() - began) * 1000))
        yield session
    except StepError:
        raise
    except Exception as error:
        mapped = fault(error, database)
        if mapped is None:
            raise
        raise mapped from error
    finally:
        for close in reversed(opened):
            with suppress(Exception):
                close()


def _open(database: Database, context: StepContext, autocommit: bool, opened: list[Callable[[], Any]]) -> Session:
    sqlalchemy = require("sqlalchemy", EXTRA)
    arguments: dict[str, Any] = {}
    match database.dialect:
        case Dialect.SQLITE:
            url = sqlalchemy.URL.create("sqlite")
        case Dialect.POSTGRESQL:
            require("psycopg", EXTRA)
            url, arguments = _postgresql(sqlalchemy, database, context)
        case Dialect.MYSQL:
            require("pymysql", EXTRA)
            url, arguments = _mysql(sqlalchemy, database, context)
        case _:
            url = database.url
    settings: dict[str, Any] = {"poolclass": sqlalchemy.pool.NullPool, "connect_args": arguments}
    if database.dialect is Dialect.SQLITE:
        settings["creator"] = lambda: _open_sqlite(database, context)
    if database.dialect is Dialect.POSTGRESQL:
        settings["use_native_hstore"] = False  # it would ask the server about it on every connection
    try:
        engine = sqlalchemy.create_engine(url, **settings)
    except ImportError as error:
        raise StepRefused(f"the driver of the {database.label} is not installed: {error}") from error
    opened.append(engine.dispose)
    pooled = engine.raw_connection()
    opened.append(pooled.close)
    connection = pooled.dbapi_connection
    match database.dialect:
        case Dialect.POSTGRESQL:
            connection.autocommit = True
            _prepare_postgresql(connection, context)
            connection.autocommit = autocommit
        case Dialect.MYSQL:
            _prepare_mysql(connection, context)
            connection.autocommit(autocommit)
        case Dialect.OTHER if autocommit:
            engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        case _:
            pass
    return Session(database, connection, engine.dialect.paramstyle)


def _connecting_seconds(database: Database, context: StepContext) -> int:
    given = _number(database.options.get("connect_timeout"), "connect_timeout")
    # Drivers count whole seconds, and read 0 as for ever.
    return max(
        1, min(given or _LONGEST_CONNECTING_SECONDS, math.ceil(min(context.remaining(), _LONGEST_WAITING_SECONDS)))
    )


def _open_sqlite(database: Database, context: StepContext) -> sqlite3.Connection:
    if database.file is None:
        name = ":memory:"
    else:
        if not database.file.parent.is_dir():
            raise StepError(f"the folder of the {database.label} does not exist")
        if database.options["mode"] != "rwc" and not database.file.exists():
            raise StepError(f"the {database.label} does not exist")
        name = f"file:{quote(str(database.file))}?mode={database.options['mode']}"
    connection = sqlite3.connect(
        name,
        uri=True,
        timeout=min(context.remaining(), _LONGEST_WAITING_SECONDS),
        isolation_level=None,  # transactions begin where a step says so, also before CREATE and ALTER
        check_same_thread=False,
    )
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, first: str | None, _second: str | None, _schema: str | None, _source: str | None) -> int:
    """Keep a session inside its one file: SQL may not name others, which the path guard has not seen."""
    if action == sqlite3.SQLITE_ATTACH and first not in ("", ":memory:"):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and first in ("temp_store_directory", "data_store_directory"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def libpq_options(database: Database, context: StepContext) -> dict[str, Any]:
    """The connection parameters of libpq, as the driver and PostgreSQL's own programs take them; no password."""
    options = {
        "application_name": f"rustchain-airflow {context.mission_name}/{context.step_id}"[:63],
        **{name: _text(value) for name, value in database.options.items()},
        "host": database.host,
        "port": database.port,
        "user": database.login,
        "dbname": database.name,
        "connect_timeout": max(2, _connecting_seconds(database, context)),
    }
    return {name: value for name, value in options.items() if value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _postgresql(sqlalchemy: Any, database: Database, context: StepContext) -> tuple[Any, dict[str, Any]]:
    # Everything goes to the driver by name: a URL would have to be escaped, and may end up in a message.
    arguments = {"client_encoding": "utf8", **libpq_options(database, context)}
    if database.password is not None:
        arguments["password"] = database.password
    return sqlalchemy.URL.create("postgresql+psycopg"), arguments


def _prepare_postgresql(connection: Any, context: StepContext) -> None:
    strings = require("psycopg.types.string", EXTRA)
    connection.adapters.register_loader("interval", strings.TextLoader)  # as durations: a timedelta has no months
    settings = {"intervalstyle": "iso_8601"}
    if (seconds := context.remaining()) < _LONGEST_WAITING_SECONDS:
        # A little later than the step itself is stopped, whose message says more.
        settings["statement_timeout"] = f"{math.ceil(seconds * 1000) + 1000}ms"
    if connection.info.server_version >= 140_000:
        settings["client_connection_check_interval"] = "1s"
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def _mysql(sqlalchemy: Any, database: Database, context: StepContext) -> tuple[Any, dict[str, Any]]:
    converters = require("pymysql.converters", EXTRA)
    types = require("pymysql.constants.FIELD_TYPE", EXTRA)
    options = {name: value for name, value in database.options.items() if name != "connect_timeout"}
    for flag in ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"):
        if flag in options:
            options[flag] = str(options[flag]).lower() in ("true", "1", "yes", "on")
    if "ssl" in options and not isinstance(options["ssl"], dict):
        options["ssl"] = {"check_hostname": False} if str(options["ssl"]).lower() in ("true", "1") else None
    arguments = {
        "charset": "utf8mb4",
        **options,
        "host": database.host,
        "port": database.port or 3306,
        "user": database.login,
        "password": database.password or "",
        "database": database.name,
        "connect_timeout": _connecting_seconds(database, context),
        # A TIME is a time of day or a span of it: as the server writes it. JSON comes as text.
        "conv": {**converters.conversions, types.TIME: str, types.JSON: json.loads},
    }
    return sqlalchemy.URL.create("mysql+pymysql"), {
        name: value for name, value in arguments.items() if value is not None
    }


def _prepare_mysql(connection: Any, context: StepContext) -> None:
    seconds = context.remaining()
    if seconds >= _LONGEST_WAITING_SECONDS:
        return
    is_mariadb = "mariadb" in str(connection.get_server_info()).lower()
    with connection.cursor() as cursor:
        if is_mariadb:
            cursor.execute("SET SESSION max_statement_time = %s", (math.ceil(seconds) + 1,))
        else:
            cursor.execute("SET SESSION max_execution_time = %s", ((math.ceil(seconds) + 1) * 1000,))


# --- errors ---------------------------------------------------------------------------------------

_HOPELESS_POSTGRESQL: Final = ("0A", "22", "28", "3D", "42601", "42P18")
"""SQLSTATE prefixes of what no retry mends: unsupported, bad values, logging in, no such database, syntax."""

_HOPELESS_MYSQL: Final = frozenset({1044, 1045, 1049, 1064, 1264, 1292, 1366, 1406, 1698})


def fault(error: BaseException, database: Database) -> StepError | None:
    """A driver's error as the step's, on one line, with no password and no link; None for one that is no driver's."""
    original = getattr(error, "orig", None) or error
    module = type(original).__module__.partition(".")[0]
    if isinstance(original, sqlite3.Error):
        return _sqlite_fault(original, database)
    if module == "psycopg":
        return _postgresql_fault(original, database)
    if module == "pymysql":
        return _mysql_fault(original, database)
    if isinstance(original, (OverflowError, UnicodeError)):
        return StepRefused(f"a value does not fit the {database.label}: {_line(original)}")
    if module == "sqlalchemy" or any(kind.__name__ == "Error" for kind in type(original).__mro__):
        return StepError(f"{database.label}: {_line(original)}")
    return None


def _sqlite_fault(error: sqlite3.Error, database: Database) -> StepError:
    message = _line(error)
    if "not authorized" in message or "authorization denied" in message:
        return StepRefused(
            "this statement is refused: a step works on one SQLite file, without ATTACH, VACUUM INTO "
            "or temp_store_directory"
        )
    if "syntax error" in message or isinstance(error, (sqlite3.ProgrammingError, sqlite3.NotSupportedError)):
        return StepRefused(message)
    if message == "unable to open database file":
        return StepError(f"the {database.label} cannot be opened: is it a file that may be written?")
    if message == "file is not a database":
        return StepRefused(f"{database.name} is not a SQLite database")
    return StepError(message)


def _postgresql_fault(error: BaseException, database: Database) -> StepError:
    diagnosis = getattr(error, "diag", None)
    state = getattr(error, "sqlstate", None) or (diagnosis and diagnosis.sqlstate) or ""
    message = (diagnosis and diagnosis.message_primary) or _line(error)
    if not state and "password" in message and ("authentication failed" in message or "no password" in message):
        state = "28P01"
    if hint := diagnosis and diagnosis.message_hint:
        message += f" ({hint})"
    if state.startswith("25001") or "cannot run inside a transaction block" in message:
        return StepRefused(f"{message}; set transaction: false")
    if state.startswith(("08", "57P")) or not state:
        return StepError(f"{database.label}: {_line(message)}")
    kind = StepRefused if state.startswith(_HOPELESS_POSTGRESQL) else StepError
    return kind(f"{_line(message)} [{state}]")


def _mysql_fault(error: BaseException, database: Database) -> StepError:
    arguments = error.args
    code = arguments[0] if arguments and isinstance(arguments[0], int) else None
    message = _line(arguments[1] if len(arguments) > 1 else error)
    if code is None or 2000 <= code < 3000 or code == 0:
        return StepError(f"{database.label}: {message or 'the connection was lost'}")
    kind = StepRefused if code in _HOPELESS_MYSQL else StepError
    return kind(f"{message} [{code}]")


def _line(error: object) -> str:
    return " ".join(str(error).split())
