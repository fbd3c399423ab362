"""Bring a database up to date with its migrations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Annotated, ClassVar, Final

from pydantic import Field

from rustchain_airflow.steps.database import alembic_folder, migrations
from rustchain_airflow.steps.database.alembic_folder import AlembicFolder
from rustchain_airflow.steps.database.database import Database, Session, connect, find
from rustchain_airflow.steps.database.migrations import Migration, Record
from rustchain_airflow.steps.database.statements import Dialect
from rustchain_airflow.steps.sdk import (
    Alias,
    ConnectionReference,
    Output,
    Parameters,
    ReadPath,
    StepContext,
    StepError,
    StepRefused,
    require,
    step,
)

_LOCK_KEY: Final = int.from_bytes(b"rustmigr") >> 1
"""PostgreSQL's advisory locks have a number; every run of every mission takes the same."""

_LONGEST_WAITING_SECONDS: Final = 86_400


class DbMigrateParameters(Parameters):
    connection: Annotated[ConnectionReference, Alias("database_url", "database", "conn_id")] = Field(
        description="An Airflow connection id, or a URL of SQLite, PostgreSQL, MySQL or MariaDB."
    )
    migration_dir: Annotated[ReadPath, Alias("migrations_dir", "path")] = Field(
        "migrations", description="A folder of numbered `.sql` files, or an Alembic folder."
    )
    target: str | None = Field(
        None, min_length=1, description="The last version to apply (for Alembic, a revision). Default: all there are."
    )
    dry_run: bool = Field(False, description="Only say what would be applied; changes nothing, not even the record.")


class MigrationName(Output):
    version: str = Field(description="Its version.")
    name: str = Field(description="Its name.")


class DbMigrateOutput(Output):
    main: ClassVar[str | None] = "current"

    applied: list[MigrationName] = Field(description="What this run applied, in order.")
    current: str | None = Field(description="The newest applied version.")
    pending: list[MigrationName] = Field(description="What is not applied; of a dry run, what a run would apply.")
    dry_run: bool = Field(description="Whether nothing was changed because of `dry_run`.")


@step(idempotent=True, prepare=lambda: require("sqlalchemy", "database"))
def db_migrate(parameters: DbMigrateParameters, context: StepContext) -> DbMigrateOutput:
    """Bring a database up to date with its migrations.

    Files are called `001_name.sql`, `1.2-name.sql` or `V1__name.sql`, and applied in the order of their numbers.
    `name.up.sql` counts as `name.sql`; `name.down.sql` is left out. What was applied is recorded with a checksum in
    the table `rustchain_migrations`; when an applied file has changed or is gone, or a new one comes before it, the
    step refuses.

    In PostgreSQL and SQLite each file runs in a transaction of its own, together with its record: it is applied whole
    or not at all. A file with the line `-- rustchain: no-transaction`, and every file in MySQL and MariaDB, where
    changes of tables cannot be undone, is recorded as started first. When such a one is interrupted after its first
    statement, the next run refuses to go on and says how to mend it.

    Runs at the same time wait for each other. A folder with `env.py`, or with an `alembic.ini` that names one, is
    Alembic's: it is upgraded to `target` or its heads, with the connection as `sqlalchemy.url`.
    """
    database = find(parameters.connection, context)
    if context.workspace.entry(parameters.migration_dir) is None:
        raise StepRefused(f"there is no folder {parameters.migration_dir} with migrations")
    if folder := alembic_folder.find(parameters.migration_dir, context):
        return _upgrade(folder, database, parameters, context)
    if database.dialect is Dialect.OTHER:
        raise StepRefused(
            f"files of SQL are for sqlite, postgresql, mysql and mariadb, not {database.kind}; use Alembic"
        )
    known = migrations.read(parameters.migration_dir, context)
    if not known:
        raise StepRefused(f"{parameters.migration_dir} holds neither numbered .sql files nor an Alembic env.py")
    if parameters.dry_run and database.file and not database.file.exists():
        return _output([], None, migrations.up_to(parameters.target, known, known), dry_run=True)
    with connect(database, context, autocommit=True) as session, _alone(session, context):
        record = Record(session)
        pending = migrations.compare(known, record.read())
        wanted = migrations.up_to(parameters.target, known, pending)
        if parameters.dry_run:
            return _output([], _current(record), wanted, dry_run=True)
        record.create()
        applied = _apply(wanted, known, session, record, context)
        rest = migrations.compare(known, record.read())
        return _output(applied, _current(record), rest, dry_run=False)


def _apply(
    wanted: Sequence[Migration], known: Sequence[Migration], session: Session, record: Record, context: StepContext
) -> list[Migration]:
    """Apply migrations in order; a failure carries what was applied before it."""
    applied: list[Migration] = []
    for migration in wanted:
        try:
            if migrations.apply(migration, session, record, context):
                applied.append(migration)
        except StepError as error:
            session.rollback()
            with suppress(Exception):  # the connection may be what failed
                done = {entry.key for entry in record.read() if entry.applied}
                rest = [other for other in known if other.key not in done]
                error.output = _output(applied, _current(record), rest, dry_run=False)
            raise
    return applied


def _current(record: Record) -> str | None:
    done = [entry for entry in record.read() if entry.applied]
    return done[-1].version if done else None


def _output(
    applied: Iterable[Migration], current: str | None, pending: Iterable[Migration], *, dry_run: bool
) -> DbMigrateOutput:
    def names(of: Iterable[Migration]) -> list[MigrationName]:
        return [MigrationName(version=migration.version, name=migration.name) for migration in of]

    return DbMigrateOutput(applied=names(applied), current=current, pending=names(pending), dry_run=dry_run)


def _upgrade(
    folder: AlembicFolder, database: Database, parameters: DbMigrateParameters, context: StepContext
) -> DbMigrateOutput:
    with ExitStack() as stack:
        if database.dialect in (Dialect.POSTGRESQL, Dialect.MYSQL):
            stack.enter_context(_alone(stack.enter_context(connect(database, context, autocommit=True)), context))
        done = alembic_folder.upgrade(folder, database, parameters.target, dry_run=parameters.dry_run)
    return DbMigrateOutput(
        applied=[MigrationName(version=version, name=name) for version, name in done.applied],
        current=done.current,
        pending=[MigrationName(version=version, name=name) for version, name in done.pending],
        dry_run=parameters.dry_run,
    )


@contextmanager
def _alone(session: Session, context: StepContext) -> Iterator[None]:
    """Hold the lock that keeps other runs out; the server takes it back when the connection ends.

    SQLite needs none: its write lock is taken for each migration.
    """
    seconds = math.ceil(min(context.remaining(), _LONGEST_WAITING_SECONDS))
    match session.database.dialect:
        case Dialect.POSTGRESQL:
            session.run("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        case Dialect.MYSQL:
            name = f"{migrations.TABLE}.{session.database.name}"[:64]
            if session.rows("SELECT GET_LOCK(%s, %s)", (name, seconds)) != [(1,)]:
                raise StepError("another run that migrates the database did not end in time")
        case _:
            pass
    yield
