"""SQL text: what is a placeholder, what ends a statement, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest

from rustchain_airflow.steps.database.statements import Dialect, Slot, bind, spell, split, tokens

PG, MY, LITE, OTHER = Dialect.POSTGRESQL, Dialect.MYSQL, Dialect.SQLITE, Dialect.OTHER


@pytest.mark.parametrize(
    ("dialect", "text", "parameters", "expected"),
    [
        # strings
        (PG, "SELECT '?', ?", [1], "SELECT '?', {p1}"),
        (PG, "SELECT 'it''s ?', ?", [1], "SELECT 'it''s ?', {p1}"),
        (PG, r"SELECT '\', ?", [1], r"SELECT '\', {p1}"),
        (PG, r"SELECT E'\' ?', ?", [1], r"SELECT E'\' ?', {p1}"),
        (PG, r"SELECT re'\', ?", [1], r"SELECT re'\', {p1}"),
        (MY, r"SELECT '\' ?', ?", [1], r"SELECT '\' ?', {p1}"),
        (MY, r'SELECT "\" ?", ?', [1], r'SELECT "\" ?", {p1}'),
        (LITE, r"SELECT '\', ?", [1], r"SELECT '\', {p1}"),
        (PG, "SELECT 'never closed ?", [], "SELECT 'never closed ?"),
        # dollar quotes
        (PG, "SELECT $$ ? ' $1 $$, $1", [1], "SELECT $$ ? ' $1 $$, {p1}"),
        (PG, "SELECT $a$ $$ $b$ ? $a$, ?", [1], "SELECT $a$ $$ $b$ ? $a$, {p1}"),
        (PG, "SELECT a$1, $1", [1], "SELECT a$1, {p1}"),
        (MY, "SELECT $1 AS a$$, $2", [1, 2], "SELECT {p1} AS a$$, {p2}"),
        # quoted names
        (PG, 'SELECT "a?""b:c", ?', [1], 'SELECT "a?""b:c", {p1}'),
        (MY, "SELECT `a?``b`, ?", [1], "SELECT `a?``b`, {p1}"),
        (LITE, "SELECT [a?b], `c?`, ?", [1], "SELECT [a?b], `c?`, {p1}"),
        (PG, "SELECT a[1], ?", [1], "SELECT a[1], {p1}"),
        # comments
        (PG, "SELECT ? -- ?\n, ?", [1, 2], "SELECT {p1} -- ?\n, {p2}"),
        (PG, "SELECT /* ? /* ? */ ? */ ?", [1], "SELECT /* ? /* ? */ ? */ {p1}"),
        (LITE, "SELECT /* ? /* ? */ ?", [1], "SELECT /* ? /* ? */ {p1}"),
        (MY, "SELECT ? # ?\n, 1--1, ?", [1, 2], "SELECT {p1} # ?\n, 1--1, {p2}"),
        (PG, "SELECT a # b, ?", [1], "SELECT a # b, {p1}"),
        # casts, assignments, slices
        (PG, "SELECT :a::text, b::int", {"a": 1}, "SELECT {a}::text, b::int"),
        (PG, "SELECT x[1:n], x[:n], :n", {"n": 1}, "SELECT x[1:n], x[{n}], {n}"),
        (MY, "SELECT @x := :x", {"x": 1}, "SELECT @x := {x}"),
        (PG, "SELECT '12:30', :a", {"a": 1}, "SELECT '12:30', {a}"),
        (PG, "SELECT (:a),:b,-:c", {"a": 1, "b": 2, "c": 3}, "SELECT ({a}),{b},-{c}"),
        (OTHER, "SELECT :größe", {"größe": 1}, "SELECT {größe}"),
        # operators with a question mark
        (PG, "SELECT d ?| $1 AND d ?& $2 AND d ? 'k'", [1, 2], "SELECT d ?| {p1} AND d ?& {p2} AND d ? 'k'"),
        (PG, "SELECT d ?? 'k' AND d ?| ? AND d @? ?", [1, 2], "SELECT d ? 'k' AND d ?| {p1} AND d @? {p2}"),
        (PG, "SELECT ?||'x'", [1], "SELECT {p1}||'x'"),
        (LITE, "SELECT ?&3, ?|4", [1, 2], "SELECT {p1}&3, {p2}|4"),
        (PG, "SELECT d ? 'k' AND a = :a", {"a": 1}, "SELECT d ? 'k' AND a = {a}"),
        (PG, "SELECT d ? 'k'", None, "SELECT d ? 'k'"),
        # per cent signs
        (PG, "SELECT 5 % 3, '%s', %s", [1], "SELECT 5 % 3, '%s', {p1}"),
        (PG, "SELECT a %sum", [], "SELECT a %sum"),
        (PG, "SELECT a %s", None, "SELECT a %s"),
        # the first style there is, is meant
        (PG, "SELECT $1, '?' || ?", [1], "SELECT {p1}, '?' || ?"),
        (PG, "SELECT $2, $1, $2", [1, 2], "SELECT {p2}, {p1}, {p2}"),
        # casts that ask for JSON
        (PG, "SELECT $1::jsonb, CAST($2 AS json)", [1, 2], "SELECT {p1!}::jsonb, CAST({p2!} AS json)"),
    ],
)
def test_placeholders_are_found_where_they_are_and_nowhere_else(
    dialect: Dialect, text: str, parameters: Any, expected: str
) -> None:
    """Strings, names, comments, casts and operators are not placeholders."""
    [bound] = bind([text], parameters, dialect)
    shown = "".join(piece if isinstance(piece, str) else "{" + piece.key + "!" * piece.as_json + "}" for piece in bound)
    assert shown == expected


@pytest.mark.parametrize(
    ("paramstyle", "expected"),
    [
        ("pyformat", "%(p1)s %% %(p2)s"),
        ("format", "%s %% %s"),
        ("qmark", "? % ?"),
        ("named", ":p1 % :p2"),
        ("numeric", ":1 % :2"),
        ("numeric_dollar", "$1 % $2"),
    ],
)
def test_placeholders_are_spelled_as_the_driver_reads_them(paramstyle: str, expected: str) -> None:
    """A per cent sign is doubled where the driver would read it."""
    assert spell([Slot("p1"), " % ", Slot("p2")], paramstyle) == (expected, [Slot("p1"), Slot("p2")])


def test_positions_count_on_through_statements() -> None:
    """The second statement takes the parameters after those of the first."""
    bound = bind(["INSERT ?", "UPDATE ?, ?"], [1, 2, 3], LITE)
    assert [piece.key for statement in bound for piece in statement if isinstance(piece, Slot)] == ["p1", "p2", "p3"]


TRIGGER = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = CASE WHEN 1 THEN 2 END; DELETE FROM b; END"
ROUTINE = "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END IF; CASE x WHEN 1 THEN SELECT 2; END CASE; SELECT 3; END"
CASE = "SELECT CASE 1 WHEN 1 THEN 2 END"
QUOTED = "SELECT ';', \";\", $$;$$, E'\\';' /* ; */"
ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        (PG, "a; b ;\n c", ["a", "b", "c"]),
        (PG, "a;; -- end\n;/* ; */", ["a"]),
        (PG, f"{QUOTED}; b -- ;\n", [QUOTED, "b -- ;"]),
        (PG, "DO $$ BEGIN a; b; END $$; c", ["DO $$ BEGIN a; b; END $$", "c"]),
        (PG, f"{ATOMIC}; x", [ATOMIC, "x"]),
        (PG, "BEGIN; x; END; y", ["BEGIN", "x", "END", "y"]),
        (LITE, f"{TRIGGER}; x", [TRIGGER, "x"]),
        (LITE, "CREATE TABLE [a;b] (x); y", ["CREATE TABLE [a;b] (x)", "y"]),
        (MY, f"{ROUTINE}; x", [ROUTINE, "x"]),
        (MY, "SELECT IF(1, 2, 3); SELECT CASE 1 WHEN 1 THEN 2 END; x", ["SELECT IF(1, 2, 3)", CASE, "x"]),
        (MY, f"a;\nDELIMITER //\n{ROUTINE} //\nb//\nDELIMITER ;\nc; d", ["a", ROUTINE, "b", "c", "d"]),
        (MY, "delimiter $$\nSELECT '$$'$$\nb $$\n", ["SELECT '$$'", "b"]),
        (MY, "a # ;\n; b -- ;\n", ["a # ;", "b -- ;"]),
        (OTHER, " ; -- nothing\n", []),
    ],
)
def test_a_text_is_split_where_its_statements_end(dialect: Dialect, text: str, expected: list[str]) -> None:
    """Semicolons in strings, comments and bodies end nothing; comments alone are no statement."""
    assert split(text, dialect) == expected


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("text", ["", "SELECT '", "$", "/*", "-- ", "a$b$c", "'\\", "ü ?:é $9$ %s ?? ::x `[", "E'\\"])
def test_the_pieces_add_up_to_the_text(dialect: Dialect, text: str) -> None:
    """Nothing is lost, whatever the text."""
    assert "".join(token.text for token in tokens(text, dialect)) == text
