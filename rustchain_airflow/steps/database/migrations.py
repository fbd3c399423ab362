"""Migrations: what a folder holds, and what a database has recorded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from rustchain_airflow.steps.database.database import Session, fault
from rustchain_airflow.steps.database.statements import Dialect, split, words
from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused

TABLE: Final = "rustchain_migrations"

_LARGEST_FILE_BYTES: Final = 64 * 1024 * 1024
_NAME = re.compile(
    r"(?:V(?P<flyway>\d+(?:[._]\d+)*)__(?P<flyway_name>.+)"
    r"|(?P<version>\d+(?:\.\d+)*)(?:[_\- .]+(?P<name>.+))?)\.sql",
    re.IGNORECASE,
)
_NO_TRANSACTION = re.compile(r"^--\s*rustchain:\s*no-transaction\s*$", re.MULTILINE)
_STARTED: Final = "started"
_APPLIED: Final = "applied"


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered file of SQL."""

    version: str
    name: str
    file: str
    text: str
    checksum: str

    @property
    def key(self) -> tuple[int, ...]:
        return order(self.version)

    @property
    def in_transaction(self) -> bool:
        """Whether it may run in one; a comment of its own, ``-- rustchain: no-transaction``, says that it may not."""
        return _NO_TRANSACTION.search(self.text) is None

    def statements(self, dialect: Dialect) -> list[str]:
        return split(self.text, dialect)


def order(version: str) -> tuple[int, ...]:
    """How versions are ordered: number by number, so 2 comes before 10, and 001 is 1."""
    numbers = [int(part) for part in re.split(r"[._]", version)]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def read(folder: str, context: StepContext) -> list[Migration]:
    """The migrations of a folder in order. Raises StepRefused with every fault of its names and texts.

    Files are called ``001_name.sql``, ``1.2-name.sql`` or ``V1_2__name.sql``; ``name.up.sql`` counts as
    ``name.sql``, and ``name.down.sql`` is left out, as there is no way back here.
    """
    migrations: dict[tuple[int, ...], Migration] = {}
    faults = []
    for entry in context.workspace.scan(folder):
        if entry.is_dir or not entry.name.lower().endswith(".sql") or entry.name.lower().endswith(".down.sql"):
            continue
        match = _NAME.fullmatch(re.sub(r"\.up\.sql$", ".sql", entry.name, flags=re.IGNORECASE))
        if match is None:
            faults.append(f"{entry.name} does not start with a number (001_name.sql, V1__name.sql)")
            continue
        version = match["flyway"] or match["version"]
        migration = _read(entry.path, entry.name, version, match["flyway_name"] or match["name"] or "", context)
        if isinstance(migration, str):
            faults.append(migration)
        elif twin := migrations.get(migration.key):
            faults.append(f"{twin.file} and {migration.file} have the same version")
        else:
            migrations[migration.key] = migration
    if faults:
        raise StepRefused("; ".join(faults))
    return [migrations[key] for key in sorted(migrations)]


def _read(path: str, file: str, version: str, name: str, context: StepContext) -> Migration | str:
    content = context.workspace.read(path, max_bytes=_LARGEST_FILE_BYTES)
    try:
        # Line ends are left out of the account: version control may change them.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return f"{file} is not UTF-8 text"
    return Migration(version, name, file, text, hashlib.sha256(text.encode()).hexdigest())


# --- the record -----------------------------------------------------------------------------------


class Recorded(NamedTuple):
    """A migration as the database has it recorded."""

    version: str
    name: str
    checksum: str
    status: str

    @property
    def key(self) -> tuple[int, ...]:
        return order(self.version)

    @property
    def applied(self) -> bool:
        """Whether it ran to its end."""
        return self.status == _APPLIED


class Record:
    """The table in which a database keeps what was applied to it.

    A migration that runs in a transaction is recorded in the same one. Any other is recorded as started before its
    first statement and as applied after its last, so what an interruption leaves is known.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def exists(self) -> bool:
        queries = {
            Dialect.SQLITE: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
            Dialect.POSTGRESQL: "SELECT 1 WHERE to_regclass(?) IS NOT NULL",
            Dialect.MYSQL: "SELECT 1 FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
        }
        return bool(self._rows(queries[self._session.database.dialect], TABLE))

    def create(self) -> None:
        if not self.exists():
            self._run(
                f"CREATE TABLE IF NOT EXISTS {TABLE} (version varchar(100) PRIMARY KEY, name varchar(400) NOT NULL, "
                "checksum varchar(64) NOT NULL, status varchar(10) NOT NULL, changed_at varchar(40) NOT NULL)"
            )

    def read(self) -> list[Recorded]:
        if not self.exists():
            return []
        rows = self._rows(f"SELECT version, name, checksum, status FROM {TABLE}")
        return sorted((Recorded(*row) for row in rows), key=lambda recorded: recorded.key)

    def start(self, migration: Migration) -> None:
        self._insert(migration, _STARTED)

    def add(self, migration: Migration) -> None:
        self._insert(migration, _APPLIED)

    def finish(self, migration: Migration) -> None:
        self._run(
            f"UPDATE {TABLE} SET status = ?, changed_at = ? WHERE version = ?", _APPLIED, _now(), migration.version
        )

    def forget(self, migration: Migration) -> None:
        self._run(f"DELETE FROM {TABLE} WHERE version = ?", migration.version)

    def _insert(self, migration: Migration, status: str) -> None:
        self._run(
            f"INSERT INTO {TABLE} (version, name, checksum, status, changed_at) VALUES (?, ?, ?, ?, ?)",
            migration.version,
            migration.name,
            migration.checksum,
            status,
            _now(),
        )

    def _spelled(self, text: str) -> str:
        return text if self._session.paramstyle == "qmark" else text.replace("?", "%s")

    def _run(self, text: str, *arguments: Any) -> None:
        self._session.run(self._spelled(text), arguments)

    def _rows(self, text: str, *arguments: Any) -> list[Any]:
        return self._session.rows(self._spelled(text), arguments)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def compare(migrations: Sequence[Migration], recorded: Iterable[Recorded]) -> list[Migration]:
    """The migrations that are not applied yet, in order.

    Raises StepRefused, with every fault, for one that was interrupted, an applied file that has changed or is gone,
    and a new file that should have come before an applied one.
    """
    by_key: Mapping[tuple[int, ...], Migration] = {migration.key: migration for migration in migrations}
    known = list(recorded)
    faults = []
    for entry in known:
        migration = by_key.get(entry.key)
        called = migration.file if migration else f"{entry.version} {entry.name}".strip()
        if not entry.applied:
            faults.append(
                f"migration {called} was interrupted and is half applied: finish or undo it by hand, then in table "
                f"{TABLE} set the status of version {entry.version} to '{_APPLIED}', or delete that row to run it again"
            )
        elif migration is None:
            faults.append(f"migration {called} was applied, but its file is gone")
        elif migration.checksum != entry.checksum:
            faults.append(f"{called} has changed since it was applied; put it back, and change things in a new file")
    applied = {entry.key for entry in known}
    newest = max(applied, default=())
    pending = [migration for migration in migrations if migration.key not in applied]
    for migration in pending:
        if migration.key < newest:
            faults.append(f"{migration.file} comes before a migration that was applied; give it a higher number")
    if faults:
        raise StepRefused("; ".join(faults))
    return pending


def up_to(target: str | None, migrations: Sequence[Migration], pending: Sequence[Migration]) -> list[Migration]:
    """The pending migrations up to a version. StepRefused where there is no such version."""
    if target is None:
        return list(pending)
    try:
        key = order(target.removeprefix("V").removeprefix("v"))
    except ValueError:
        raise StepRefused(f'target "{target}" is not a version') from None
    if key not in {migration.key for migration in migrations}:
        raise StepRefused(f"there is no migration with version {target}")
    applied = {migration.key for migration in migrations} - {migration.key for migration in pending}
    if key < max(applied, default=()):
        raise StepRefused(f"version {target} is older than what is applied; nothing is undone, write a new migration")
    return [migration for migration in pending if migration.key <= key]


# --- applying -------------------------------------------------------------------------------------

_CONTROL: Final = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})


def apply(migration: Migration, session: Session, record: Record, context: StepContext) -> bool:
    """Apply and record one migration; False when another run has done so meanwhile."""
    dialect = session.database.dialect
    statements = migration.statements(dialect)
    if dialect is Dialect.MYSQL or not migration.in_transaction:
        record.start(migration)
        _run_outside(migration, statements, session, record)
        record.finish(migration)
    else:
        _refuse_control(migration, statements, dialect)
        session.run("BEGIN IMMEDIATE" if dialect is Dialect.SQLITE else "BEGIN")
        if any(entry.key == migration.key for entry in record.read()):
            session.run("ROLLBACK")
            return False
        for number, statement in enumerate(statements, 1):
            _run(migration, statement, number, len(statements), session)
        record.add(migration)
        session.run("COMMIT")
    context.logger.info("applied migration %s", migration.file)
    return True


def _run_outside(migration: Migration, statements: Sequence[str], session: Session, record: Record) -> None:
    """Run statements that each stand for themselves; after the first the record must stay at `started`."""
    for number, statement in enumerate(statements, 1):
        try:
            _run(migration, statement, number, len(statements), session)
        except StepError as error:
            if number == 1:
                record.forget(migration)  # it did nothing, so it may run again
                raise
            raise type(error)(f"{error}; the statements before it stay done") from error


def _run(migration: Migration, statement: str, number: int, count: int, session: Session) -> None:
    try:
        session.run(statement)
    except Exception as error:
        mapped = fault(error, session.database)
        if mapped is None:
            raise
        raise type(mapped)(f"{migration.file}, statement {number} of {count}: {mapped}") from error


def _refuse_control(migration: Migration, statements: Sequence[str], dialect: Dialect) -> None:
    for statement in statements:
        first = next(iter(words(statement, dialect)), "")
        if first in _CONTROL:
            raise StepRefused(
                f"{migration.file} says {first}: each file runs in a transaction of its own, so take it out, "
                "or write -- rustchain: no-transaction on a line of the file"
            )
