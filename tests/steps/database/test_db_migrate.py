"""db_migrate: numbered SQL files and Alembic folders, in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import services

from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.steps.sdk import StepError, StepRefused

FILES = {
    "migrations/001_items.sql": "CREATE TABLE item (id integer PRIMARY KEY, name varchar(40));\n"
    "INSERT INTO item VALUES (1, 'a;b'); -- done;\n",
    "migrations/2-notes.sql": "CREATE TABLE note (id integer PRIMARY KEY);",
    "migrations/V10__more_notes.sql": "ALTER TABLE note ADD COLUMN name varchar(40);\r\n"
    "INSERT INTO note VALUES (1, 'x');\r\n",
    "migrations/001_items.down.sql": "DROP TABLE item;",
    "migrations/readme.md": "not a migration",
}
ALL = [
    {"version": "001", "name": "items"},
    {"version": "2", "name": "notes"},
    {"version": "10", "name": "more_notes"},
]


def rows(run: Any, database: str, text: str) -> list[Any]:
    found: list[Any] = run("sql_query", {"connection": database, "query": text, "output_format": "rows"})["rows"]
    return found


def record(run: Any, database: str) -> list[Any]:
    return rows(run, database, "SELECT version, status FROM rustchain_migrations ORDER BY changed_at, version")


def test_migrations_are_applied_in_order_and_once(run: Any, database: str) -> None:
    """Numbers are ordered as numbers; a second run has nothing to do."""
    first = run("db_migrate", {"connection": database}, files=FILES)
    assert first == {"applied": ALL, "current": "10", "pending": [], "dry_run": False}
    assert run("db_migrate", {"database_url": database}) == {**first, "applied": []}
    assert rows(run, database, "SELECT name FROM item") == [["a;b"]]
    assert rows(run, database, "SELECT name FROM note") == [["x"]]
    assert record(run, database) == [["001", "applied"], ["2", "applied"], ["10", "applied"]]


def test_a_target_stops_there(run: Any, database: str) -> None:
    """What comes after it stays pending; a later run goes on."""
    output = run("db_migrate", {"connection": database, "target": "2"}, files=FILES)
    assert output == {"applied": ALL[:2], "current": "2", "pending": ALL[2:], "dry_run": False}
    assert run("db_migrate", {"connection": database})["applied"] == ALL[2:]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(run: Any, database: str, engine: str, workspace: Any) -> None:
    """No table, no record, and no file of SQLite."""
    output = run("db_migrate", {"connection": database, "dry_run": True, "target": "002"}, files=FILES)
    assert output == {"applied": [], "current": None, "pending": ALL[:2], "dry_run": True}
    assert not (workspace.root / "test.db").exists()
    with pytest.raises(StepError):
        record(run, database)
    run("db_migrate", {"connection": database, "target": "1"})
    output = run("db_migrate", {"connection": database, "dry_run": True})
    assert output == {"applied": [], "current": "001", "pending": ALL[1:], "dry_run": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"001_items.sql": "CREATE TABLE item (id integer)"},
            r"^001_items\.sql has changed since it was applied; put it",
        ),
        ({"001_items.sql": None}, r"^migration 001 items was applied, but its file is gone$"),
        (
            {"001.5_late.sql": "SELECT 1"},
            r"^001\.5_late\.sql comes before a migration that was applied; give it a higher",
        ),
        (
            {"001_items.sql": None, "2-notes.sql": "SELECT 1"},
            r"^migration 001 items was applied, but its file is gone; 2-notes\.sql has changed",
        ),
    ],
)
def test_drift_is_refused(run: Any, database: str, workspace: Any, change: dict[str, str | None], message: str) -> None:
    """An applied file that changed or is gone, and a new one before it, stop the step, all named at once."""
    run("db_migrate", {"connection": database, "target": "2"}, files=FILES)
    for name, text in change.items():
        file = workspace.root / "migrations" / name
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
    for given in ({}, {"dry_run": True}):
        with pytest.raises(StepRefused, match=message):
            run("db_migrate", {"connection": database, **given})
    assert record(run, database) == [["001", "applied"], ["2", "applied"]]


def test_line_ends_are_no_change(run: Any, database: str, workspace: Any) -> None:
    """Version control may turn them around."""
    run("db_migrate", {"connection": database}, files=FILES)
    file = workspace.root / "migrations/001_items.sql"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert run("db_migrate", {"connection": database})["applied"] == []


def test_a_failing_migration_is_undone_or_remembered(run: Any, database: str, engine: str, workspace: Any) -> None:
    """Where changes of tables can be undone, they are; elsewhere the file is half applied until someone mends it."""
    broken = {**FILES, "migrations/2-notes.sql": "CREATE TABLE note (id integer); INSERT INTO nowhere VALUES (1);"}
    with pytest.raises(StepError, match=r"^2-notes\.sql, statement 2 of 2: .*nowhere") as failure:
        run("db_migrate", {"connection": database}, files=broken)
    output = failure.value.output.model_dump()
    assert (output["applied"], output["current"], output["pending"]) == (ALL[:1], "001", ALL[1:])
    (workspace.root / "migrations/2-notes.sql").write_text(FILES["migrations/2-notes.sql"])
    if engine != "mysql":
        assert record(run, database) == [["001", "applied"]]
        assert run("db_migrate", {"connection": database})["applied"] == ALL[1:]
        return
    assert str(failure.value).endswith("; the statements before it stay done")
    assert record(run, database) == [["001", "applied"], ["2", "started"]]
    with pytest.raises(
        StepRefused, match=r"^migration 2-notes\.sql was interrupted and is half applied: finish or undo"
    ):
        run("db_migrate", {"connection": database})
    rows(run, database, "DROP TABLE note; DELETE FROM rustchain_migrations WHERE status = 'started'")
    assert run("db_migrate", {"connection": database})["applied"] == ALL[1:]


def test_a_migration_whose_first_statement_fails_may_simply_run_again(run: Any, database: str, workspace: Any) -> None:
    """It did nothing, in every engine."""
    with pytest.raises(StepError, match=r"^1\.sql, statement 1 of 1: "):
        run("db_migrate", {"connection": database}, files={"migrations/1.sql": "CREATE TABEL t (x integer)"})
    (workspace.root / "migrations/1.sql").write_text("CREATE TABLE t (x integer)")
    assert run("db_migrate", {"connection": database})["applied"] == [{"version": "1", "name": ""}]


def test_bodies_of_triggers_and_routines_stay_whole(run: Any, database: str, engine: str) -> None:
    """Semicolons inside them end nothing."""
    table = "CREATE TABLE t (x integer); CREATE TABLE log (x integer);\n"
    body = {
        "sqlite": "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1);"
        " INSERT INTO log VALUES (2); END;",
        "postgresql": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (1);"
        " INSERT INTO log VALUES (2); RETURN new; END $$;\n"
        "CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();",
        "mysql": "DELIMITER //\nCREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW BEGIN INSERT INTO log VALUES (1);"
        " INSERT INTO log VALUES (2); END //\nDELIMITER ;",
    }[engine]
    run("db_migrate", {"connection": database}, files={"migrations/1.sql": f"{table}{body}\nINSERT INTO t VALUES (0);"})
    assert rows(run, database, "SELECT x FROM log ORDER BY x") == [[1], [2]]


def test_a_file_may_say_that_it_runs_without_a_transaction(run: Any, context: Any, postgres: services.Server) -> None:
    """CREATE INDEX CONCURRENTLY needs it; when such a file breaks off, the next run refuses."""
    context.connections = LocalConnections({})
    services.empty(postgres)
    files = {
        "migrations/1.sql": "CREATE TABLE t (x integer)",
        "migrations/2.sql": "-- rustchain: no-transaction\nCREATE INDEX CONCURRENTLY i ON t (x);",
        "migrations/3.sql": "-- rustchain: no-transaction\nVACUUM t;\nSELECT nothing;",
    }
    with pytest.raises(StepError, match=r'^3\.sql, statement 2 of 2: column "nothing" does not exist \[42703\]; the'):
        run("db_migrate", {"connection": postgres.url}, files=files)
    assert record(run, postgres.url) == [["1", "applied"], ["2", "applied"], ["3", "started"]]
    with pytest.raises(StepRefused, match=r"^migration 3\.sql was interrupted"):
        run("db_migrate", {"connection": postgres.url})


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({}, {}, "there is no folder migrations with migrations"),
        ({"migrations/a.txt": ""}, {}, "migrations holds neither numbered .sql files nor an Alembic env.py"),
        (
            {
                "migrations/views.sql": "",
                "migrations/1_a.sql": "",
                "migrations/V001__b.sql": "",
                "migrations/3.sql": b"\xff",
            },
            {},
            "1_a.sql and V001__b.sql have the same version|3.sql is not UTF-8 text|"
            "views.sql does not start with a number (001_name.sql, V1__name.sql)",
        ),
        (FILES, {"target": "3"}, "there is no migration with version 3"),
        (FILES, {"target": "newest"}, 'target "newest" is not a version'),
        ({"m/1.sql": "BEGIN; SELECT 1; COMMIT"}, {"migration_dir": "m"}, "1.sql says BEGIN: each file runs in a"),
        ({"m/alembic.ini": "[alembic]\n"}, {"migration_dir": "m"}, "m/alembic.ini does not say script_location"),
    ],
)
def test_folders_that_cannot_be_used(
    run: Any, context: Any, files: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    """Names, texts and targets that make no sense are refused, all at once."""
    context.connections = LocalConnections({})
    with pytest.raises(StepRefused) as refusal:
        run("db_migrate", {"connection": "sqlite:///a.db", **given}, files=files)
    assert sorted(str(refusal.value).split("; ")) == message.split("|") or str(refusal.value).startswith(message)


def test_going_back_is_refused(run: Any, database: str) -> None:
    """A target below what is applied is no way to undo it."""
    run("db_migrate", {"connection": database}, files=FILES)
    with pytest.raises(StepRefused, match=r"^version 2 is older than what is applied; nothing is undone"):
        run("db_migrate", {"connection": database, "target": "2"})


def test_runs_at_the_same_time_apply_each_migration_once(attempt: Any, database: str, workspace: Any) -> None:
    """They wait for each other, and every one of them succeeds."""
    folder = workspace.root / "migrations"
    folder.mkdir()
    for number in range(1, 11):
        (folder / f"{number}.sql").write_text(f"CREATE TABLE t{number} (x integer); INSERT INTO t{number} VALUES (1);")
    results: list[Any] = []

    def run_one() -> None:
        results.append(attempt("db_migrate", {"connection": database}))

    runs = [threading.Thread(target=run_one) for _ in range(4)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert [result.error for result in results] == [None] * 4
    applied = [entry["version"] for result in results for entry in result.output["applied"]]
    assert sorted(map(int, applied)) == list(range(1, 11))


def test_a_timed_out_migration_leaves_the_record_true(
    attempt: Any, run: Any, database: str, engine: str, workspace: Any
) -> None:
    """What was cut short is either undone and not recorded, or recorded as started."""
    if engine == "sqlite":
        slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO t SELECT max(x) FROM n"
    else:
        slow = "SELECT pg_sleep(600)" if engine == "postgresql" else "SELECT sleep(600)"
    files = {"1.sql": "CREATE TABLE a (x integer)", "2.sql": f"CREATE TABLE t (x integer); {slow};"}
    (workspace.root / "migrations").mkdir()
    for name, text in files.items():
        (workspace.root / "migrations" / name).write_text(text)
    result = attempt("db_migrate", {"connection": database}, timeout=3)
    assert (result.status, result.error) == (StepStatus.FAILED, "timed out after 3 s")
    assert record(run, database) == [["1", "applied"], *([["2", "started"]] if engine == "mysql" else [])]
    if engine == "mysql":
        with pytest.raises(StepRefused, match=r"^migration 2\.sql was interrupted and is half applied"):
            run("db_migrate", {"connection": database})
    else:
        (workspace.root / "migrations/2.sql").write_text("CREATE TABLE t (x integer)")
        assert run("db_migrate", {"connection": database})["current"] == "2"


# --- Alembic --------------------------------------------------------------------------------------

ENVIRONMENT = """
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name)

section = config.get_section(config.config_ini_section, {})
engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""


def revision(number: str, before: str | None, text: str) -> str:
    return (
        f'"""step {number}"""\nfrom alembic import op\nrevision = "{number}"\ndown_revision = {before!r}\n'
        f"def upgrade():\n    op.execute({text!r})\n"
    )


ALEMBIC = {
    "db/alembic.ini": "[alembic]\nscript_location = scripts\n\n[loggers]\nkeys = root\n\n[handlers]\nkeys =\n\n"
    "[formatters]\nkeys =\n\n[logger_root]\nlevel = WARNING\nhandlers =\n",
    "db/scripts/env.py": ENVIRONMENT,
    "db/scripts/versions/a.py": revision("aaa", None, "CREATE TABLE item (id integer)"),
    "db/scripts/versions/b.py": revision("bbb", "aaa", "CREATE TABLE note (id integer)"),
}
REVISIONS = [{"version": "aaa", "name": "step aaa"}, {"version": "bbb", "name": "step bbb"}]


@pytest.fixture
def alembic(workspace: Any) -> Any:
    """A workspace with an Alembic project."""
    for path, text in ALEMBIC.items():
        file = workspace.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return workspace


@pytest.mark.parametrize("folder", ["db", "db/scripts"])
def test_an_alembic_folder_is_upgraded(attempt: Any, run: Any, database: str, alembic: Any, folder: str) -> None:
    """Found by its alembic.ini or its env.py; dry run, target and heads as with files of SQL."""

    def migrate(**given: Any) -> Any:
        result = attempt("db_migrate", {"connection": database, "migration_dir": folder, **given})
        assert result.status is StepStatus.SUCCESS, result.error
        return result.output

    assert migrate(dry_run=True) == {"applied": [], "current": None, "pending": REVISIONS, "dry_run": True}
    with pytest.raises(StepError):
        rows(run, database, "SELECT * FROM alembic_version")
    assert migrate(target="aaa") == {
        "applied": REVISIONS[:1],
        "current": "aaa",
        "pending": REVISIONS[1:],
        "dry_run": False,
    }
    assert migrate() == {"applied": REVISIONS[1:], "current": "bbb", "pending": [], "dry_run": False}
    assert migrate()["applied"] == []
    assert rows(run, database, "SELECT version_num FROM alembic_version") == [["bbb"]]
    assert rows(run, database, "SELECT * FROM note") == []


def test_faults_of_alembic_are_one_line(attempt: Any, database: str, alembic: Any) -> None:
    """A broken migration, an unknown revision, a revision whose file is gone, and a program that is wrong."""

    def error(**given: Any) -> str:
        result = attempt("db_migrate", {"connection": database, "migration_dir": "db", **given})
        assert result.status is StepStatus.FAILED
        assert "\n" not in result.error
        assert services.PASSWORD not in result.error
        return str(result.error)

    versions = alembic.root / "db/scripts/versions"
    assert error(target="zzz").startswith("Alembic: No such revision or branch 'zzz'")
    (versions / "b.py").write_text(revision("bbb", "aaa", "CREATE TABEL note (id integer)"))
    assert error().startswith("the migration failed: ")
    assert "sqlalche.me" not in error()
    (versions / "b.py").write_text("raise KeyError('x')")
    assert error() == "the migration failed: KeyError: 'x'"


def test_a_database_at_a_revision_whose_file_is_gone_is_refused(attempt: Any, database: str, alembic: Any) -> None:
    """Alembic's own words for drift."""
    assert attempt("db_migrate", {"connection": database, "migration_dir": "db"}).error is None
    (alembic.root / "db/scripts/versions/b.py").unlink()
    result = attempt("db_migrate", {"connection": database, "migration_dir": "db"})
    assert result.error.startswith("Alembic: No such revision or branch 'bbb'")
    assert not result.retryable
