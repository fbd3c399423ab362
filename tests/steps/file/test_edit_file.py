"""edit_file: whole, append and prepend, find and replace."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.file.edit_file import EditFileOutput
from rustchain_airflow.steps.sdk import StepError, StepRefused

BEFORE = "one two\ntwo three\n"


@pytest.mark.parametrize(
    ("parameters", "after", "replacements"),
    [
        ({"content": "new"}, "new", 0),
        ({"content": ""}, "", 0),
        ({"content": "new", "append": False}, "new", 0),
        ({"content": "new", "operation": "replace"}, "new", 0),
        ({"content": "new", "operation": "overwrite"}, "new", 0),
        ({"content": "new", "append": True}, BEFORE + "new", 0),
        ({"content": "new", "append": "true"}, BEFORE + "new", 0),
        ({"content": "new", "operation": "append"}, BEFORE + "new", 0),
        ({"content": "new\n", "operation": "prepend"}, "new\n" + BEFORE, 0),
        ({"find": "two", "replace": "2"}, "one 2\n2 three\n", 2),
        ({"old": "two", "new": "2"}, "one 2\n2 three\n", 2),
        ({"find": "two", "replace": "2", "operation": "replace"}, "one 2\n2 three\n", 2),
        ({"find": "two", "replace": "2", "count": 1}, "one 2\ntwo three\n", 1),
        ({"find": "two\n", "replace": ""}, "one two three\n", 1),
        ({"find": ".", "replace": "!", "count": 0, "regex": True}, "!!!!!!!\n!!!!!!!!!\n", 16),
        ({"find": r"^(\w+) (?P<b>\w+)$", "replace": r"\g<b> \1", "regex": True}, "two one\nthree two\n", 2),
        ({"find": "o", "replace": r"\1"}, BEFORE.replace("o", r"\1"), 3),
    ],
)
def test_ways_to_edit(run: Any, workspace: GuardedWorkspace, parameters: Any, after: str, replacements: int) -> None:
    """Every way to say it, and what is in the file afterwards."""
    output = run("edit_file", {"path": "a", **parameters}, files={"a": BEFORE})
    assert (workspace.root / "a").read_text() == after
    assert output == {
        "path": "a", "size": len(after), "changed": True, "replacements": replacements, "backup_path": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "parameters", [{"content": BEFORE}, {"content": "", "append": True}, {"find": "two", "replace": "two"}]
)
def test_an_edit_that_changes_nothing_writes_nothing(
    run: Any, workspace: GuardedWorkspace, files: Any, parameters: Any
) -> None:
    """changed is false, no backup is made, and the file is the very same."""
    (workspace.root / "a").write_text(BEFORE)
    inode = (workspace.root / "a").stat().st_ino
    output = run("edit_file", {"path": "a", "backup": True, **parameters})
    assert (output["changed"], output["backup_path"]) == (False, None)
    assert files() == {"a": BEFORE}
    assert (workspace.root / "a").stat().st_ino == inode


@pytest.mark.parametrize(
    "parameters", [{"content": "x"}, {"content": "x", "append": True}, {"find": "x", "replace": "y"}]
)
def test_a_missing_file_fails(run: Any, files: Any, parameters: Any) -> None:
    """Editing makes no file, in none of its ways."""
    with pytest.raises(StepError, match=r"^no such file: a$"):
        run("edit_file", {"path": "a", "backup": True, **parameters})
    assert files() == {}


def test_text_that_is_not_there_fails(run: Any, files: Any) -> None:
    """A find without a match is a failure that names it; what is known is in the output."""
    with pytest.raises(StepError, match=r"^nothing in a matches 'four'$") as error:
        run("edit_file", {"path": "a", "find": "four", "replace": "4", "backup": True}, files={"a": BEFORE})
    assert isinstance(error.value.output, EditFileOutput)
    assert error.value.output.changed is False
    assert files() == {"a": BEFORE}


def test_backups_never_overwrite_one_another(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """Each backup has a name of its own, and the mode of the file."""
    (workspace.root / "a").write_text("0")
    (workspace.root / "a").chmod(0o600)
    taken = [run("edit_file", {"path": "a", "content": str(n), "backup": True})["backup_path"] for n in (1, 2, 3)]
    assert taken == ["a.bak", "a.bak.1", "a.bak.2"]
    assert files() == {"a": "3", "a.bak": "0", "a.bak.1": "1", "a.bak.2": "2"}
    assert {path.stat().st_mode & 0o777 for path in workspace.root.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give exactly one of content, find"),
        ({"content": "x", "find": "y", "replace": "z"}, "give exactly one of content, find, not content and find"),
        ({"find": "x"}, "find needs replace"),
        ({"find": "", "replace": "x"}, "at least 1 character"),
        ({"content": "x", "replace": "y"}, "need find"),
        ({"content": "x", "append": True, "operation": "prepend"}, "contradict"),
        ({"find": "x", "replace": "y", "append": True}, "append and prepend go with content"),
        ({"find": "(", "replace": "y", "regex": True}, "find is not a regular expression"),
        ({"find": "x", "replace": "y", "count": -1}, "greater than or equal to 0"),
        ({"content": "x", "operation": "delete"}, "'append', 'replace', 'overwrite' or 'prepend'"),
    ],
)
def test_invalid_parameters(run: Any, parameters: Any, message: str) -> None:
    """What contradicts itself is invalid before anything is touched."""
    with pytest.raises(ValidationError, match=message):
        run("edit_file", {"path": "a", **parameters}, files={"a": BEFORE})


@pytest.mark.parametrize("replace", [r"\1", r"\g<name>", "\\"])
def test_a_replacement_that_does_not_fit_is_refused(run: Any, replace: str) -> None:
    """A group that the expression does not have will not appear by trying again."""
    with pytest.raises(StepRefused, match=r"replace does not fit the regular expression"):
        run("edit_file", {"path": "a", "find": "two", "replace": replace, "regex": True}, files={"a": BEFORE})


def test_find_needs_text(run: Any, files: Any) -> None:
    """Bytes that are no text in the encoding are named by their place; appending does not mind them."""
    with pytest.raises(StepError, match=r"^a is not utf-8 text: byte 1 is 0xff"):
        run("edit_file", {"path": "a", "find": "x", "replace": "y"}, files={"a": b"x\xff"})
    run("edit_file", {"path": "a", "find": "ÿ", "replace": "y", "encoding": "latin-1"})
    assert files() == {"a": "xy"}
    run("edit_file", {"path": "b", "content": "!", "append": True}, files={"b": b"\xff"})
    assert files()["b"] == "\ufffd!"


def test_an_empty_file_can_be_edited(run: Any, files: Any) -> None:
    """Nothing is a content like others."""
    run("edit_file", {"path": "a", "content": "x", "operation": "prepend"}, files={"a": ""})
    assert files() == {"a": "x"}


def test_a_link_is_edited_where_it_leads(run: Any, workspace: GuardedWorkspace, files: Any) -> None:
    """The link stays a link, and its target changes."""
    (workspace.root / "link").symlink_to("a")
    run("edit_file", {"path": "link", "content": "new"}, files={"a": "old"})
    assert files() == {"a": "new", "link": "-> a"}
