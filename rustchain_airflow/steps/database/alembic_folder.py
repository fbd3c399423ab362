"""Alembic folders: finding one, and upgrading a database with it."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rustchain_airflow.steps.database.database import Database, fault
from rustchain_airflow.steps.database.statements import Dialect
from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused, require


@dataclass(frozen=True, slots=True)
class AlembicFolder:
    """Where Alembic's scripts are, and its settings."""

    scripts: Path
    settings: Path | None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did, or would do: revisions as (id, message)."""

    applied: list[tuple[str, str]]
    current: str | None
    pending: list[tuple[str, str]]


def find(folder: str, context: StepContext) -> AlembicFolder | None:
    """The Alembic folder at a path: one with ``env.py``, or with an ``alembic.ini`` that says where it is."""
    workspace = context.workspace
    settings = None
    for candidate in (f"{folder}/alembic.ini", f"{folder}/../alembic.ini"):
        with suppress(StepRefused):  # the folder above may be outside the workspace
            if settings is None and workspace.entry(candidate):
                settings = workspace.locate(candidate)
    if workspace.entry(f"{folder}/env.py"):
        return AlembicFolder(workspace.locate(folder), settings)
    if settings is None or not workspace.entry(f"{folder}/alembic.ini"):
        return None
    config = require("alembic.config", "database").Config(str(settings))
    location = config.get_main_option("script_location")
    if not location:
        raise StepRefused(f"{folder}/alembic.ini does not say script_location")
    scripts = workspace.locate(str(settings.parent / location))
    if not (scripts / "env.py").is_file():
        raise StepRefused(f"there is no env.py in {workspace.relative(scripts)}, which {folder}/alembic.ini names")
    return AlembicFolder(scripts, settings)


def upgrade(folder: AlembicFolder, database: Database, target: str | None, *, dry_run: bool) -> Upgrade:
    """Upgrade a database to a revision, or to all heads. ``env.py`` and the migrations run in this process."""
    commands = require("alembic.command", "database")
    errors = require("alembic.util.exc", "database")
    revision = require("alembic.script.revision", "database")
    config = _config(folder, database)
    # The mission's scripts leave no byte code in its workspace, where a later edit of the same length within the same
    # second would be taken for the old script. This process is the step's own.
    sys.dont_write_bytecode = True
    try:
        script = require("alembic.script", "database").ScriptDirectory.from_config(config)
        before = _current(config, script)
        wanted = _revisions(script, target or "heads", before)
        if not dry_run:
            commands.upgrade(config, target or "heads")
        after = before if dry_run else _current(config, script)
        done = [] if dry_run else wanted
        rest = wanted if dry_run else _revisions(script, "heads", after)
    except (errors.CommandError, revision.RevisionError) as error:
        raise StepRefused(f"Alembic: {' '.join(str(error).split())}") from error
    except (Exception, SystemExit) as error:  # env.py and migrations are programs, and may raise anything
        mapped = fault(error, database) if isinstance(error, Exception) else None
        detail = str(mapped) if mapped else f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise (type(mapped) if mapped else StepError)(f"the migration failed: {detail}") from error
    return Upgrade(done, ", ".join(after) or None, rest)


def _config(folder: AlembicFolder, database: Database) -> Any:
    config = require("alembic.config", "database").Config(
        str(folder.settings) if folder.settings else None, stdout=io.StringIO()
    )
    home = folder.settings.parent if folder.settings else folder.scripts.parent
    given = {"script_location": folder.scripts, "prepend_sys_path": home, "path_separator": "newline"}
    for name, value in {**given, "sqlalchemy.url": _url(database)}.items():
        config.set_main_option(name, str(value).replace("%", "%%"))
    return config


def _url(database: Database) -> str:
    """The URL that ``env.py`` reads; it stays in memory."""
    sqlalchemy = require("sqlalchemy", "database")
    if database.dialect is Dialect.OTHER:
        url = database.url
    elif database.dialect is Dialect.SQLITE:
        url = sqlalchemy.URL.create("sqlite", database=str(database.file))
    else:
        driver = "postgresql+psycopg" if database.dialect is Dialect.POSTGRESQL else "mysql+pymysql"
        url = sqlalchemy.URL.create(
            driver,
            username=database.login,
            password=database.password,
            host=database.host,
            port=database.port,
            database=database.name,
            query={name: str(value) for name, value in database.options.items()},
        )
    text: str = url.render_as_string(hide_password=False)
    return text


def _current(config: Any, script: Any) -> tuple[str, ...]:
    """The revisions a database is at, as ``env.py`` sees it; changes nothing."""
    found: list[str] = []

    def note(revisions: Any, _context: Any) -> Sequence[Any]:
        found.extend([revisions] if isinstance(revisions, str) else revisions)
        return []

    environment = require("alembic.runtime.environment", "database").EnvironmentContext
    with environment(config, script, fn=note, dont_mutate=True):
        script.run_env()
    return tuple(sorted(found))


def _revisions(script: Any, upper: str, lower: tuple[str, ...]) -> list[tuple[str, str]]:
    revisions = script.iterate_revisions(upper, lower or "base", implicit_base=True)
    return [(revision.revision, revision.doc or "") for revision in reversed(list(revisions))]
