"""parse_json: strict JSON, a part of it by pointer, and JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused

RFC_6901 = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, " ": 7, "~1": 9}
PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["name"]}


@pytest.mark.parametrize("name", ["file", "path", "input_file"])
def test_a_file_is_read_under_each_of_its_names(run, name):
    """file, path and input_file name the file to read, with or without a byte order mark."""
    output = run("parse_json", {name: "in/a.json"}, files={"in/a.json": b'\xef\xbb\xbf{"n": 1.5, "t": "\xc3\xa9"}'})
    assert output == {"parsed": {"n": 1.5, "t": "é"}, "valid": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [("null", None), ("7", 7), ('"x"', "x"), ("[]", []), (" {} ", {}), ('{"version": 1.0}', {"version": 1.0})],
)
def test_any_json_value_is_a_document(run, text, value):
    """The root may be any JSON value, and every value keeps its type."""
    assert run("parse_json", {"content": text})["parsed"] == value


def test_a_value_from_a_reference_is_taken_as_parsed(run):
    """Content that is already an object is not parsed again."""
    assert run("parse_json", {"content": {"a": [1]}, "pointer": "/a/0"})["parsed"] == 1


@pytest.mark.parametrize("parameters", [{}, {"content": "1", "file": "a.json"}])
def test_content_and_file_are_exactly_one(run, parameters):
    """Neither and both are errors that can be seen before the mission runs."""
    with pytest.raises(ValidationError, match="give exactly one of content, file"):
        run("parse_json", parameters)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n}', "content:2:9: "),
        ('{"a": 1,\n "a": 2}', 'content:2:2: .*"a"'),
        ("[1,\n NaN]", "content:2:2: "),
        ("[-Infinity]", "content:1:2: "),
        ("[1e999]", "content:1:2: "),
        ("'x'", "content:1:1: "),
        ("", "content: the file is empty|content:1:1"),
        ('["\\ud800"]', "surrogate"),
        ("[" * 5_000 + "]" * 5_000, "deep|levels"),
        ("1" * 5_000, "content:1:1: "),
    ],
)
def test_what_is_not_json_fails_at_its_line(run, text, message):
    """Syntax faults, duplicate keys, NaN, Infinity and bottomless nesting fail with line and column."""
    with pytest.raises(StepError, match=message) as caught:
        run("parse_json", {"content": text})
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf_8_fail_at_their_line(run):
    """A file in another encoding is refused, naming the first line that shows it."""
    with pytest.raises(StepError, match=r"a\.json:2: not UTF-8: byte 0xe9"):
        run("parse_json", {"file": "a.json"}, files={"a.json": b'["x",\n"\xe9"]'})


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/m~0n", 8),
        ("/ ", 7),
        ("/~01", 9),
    ],
)
def test_a_pointer_gives_one_part(run, pointer, value):
    """Pointers follow RFC 6901 to the letter."""
    assert run("parse_json", {"content": RFC_6901, "pointer": pointer})["parsed"] == value


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("/fooo", 'the root has no "fooo"; did you mean "foo"'),
        ("/zzzzzz", 'the root has no "zzzzzz"; it has "foo", "", "a/b"'),
        ("/foo/2", '/foo is a list of 2, it has no item "2"'),
        ("/foo/01", 'it has no item "01"'),
        ("/foo/-", 'it has no item "-"'),
        ("/foo/0/x", "/foo/0 is not an object or a list"),
    ],
)
def test_a_pointer_to_nothing_fails_naming_what_is_there(run, pointer, message):
    """The error names the nearest key, or the keys and items that exist there."""
    with pytest.raises(StepError, match=message) as caught:
        run("parse_json", {"content": RFC_6901, "pointer": pointer})
    assert not isinstance(caught.value, StepRefused)


@pytest.mark.parametrize("pointer", ["foo", "/m~n", "/~2"])
def test_text_that_is_no_pointer_is_refused(run, pointer):
    """A pointer starts with a slash and escapes its tildes; anything else is never retried."""
    with pytest.raises(StepRefused, match="pointer"):
        run("parse_json", {"content": "{}", "pointer": pointer})


@pytest.mark.parametrize("schema", [{"schema": PERSON}, {"schema_file": "s.json"}, {"schema_file": "s.yaml"}])
def test_a_schema_judges_the_whole_value(run, schema):
    """Inline or from a file in JSON or YAML, the schema speaks of the whole value, whatever the pointer gives back."""
    files: dict[str, Any] = {"s.json": '{"required": ["name"]}', "s.yaml": "required: [name]\n"}
    assert run("parse_json", {"content": '{"name": "x"}', "pointer": "/name", **schema}, files=files)["parsed"] == "x"
    with pytest.raises(StepError, match=r'schema is not satisfied at the root: "name" is a required') as caught:
        run("parse_json", {"content": '{"n": "x"}', "pointer": "/n", **schema}, files=files)
    assert caught.value.output == {"parsed": "x", "valid": False}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strnig"}, "schema is not a usable JSON Schema"),
        ({"$schema": "http://nowhere.invalid/x"}, "schemas are never fetched"),
        ({"pattern": "("}, "schema is not a usable JSON Schema"),
    ],
)
def test_a_schema_that_is_none_is_refused(run, schema, message):
    """A broken schema is a fault of the mission, so it is not retried."""
    with pytest.raises(StepRefused, match=message):
        run("parse_json", {"content": "1", "schema": schema})


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.json", "file:///etc/hostname", "other.json"])
def test_schemas_are_never_fetched(run, address):
    """A reference to a schema elsewhere is refused, whatever the scheme."""
    with pytest.raises(StepRefused, match=f'refers to "{address}", and schemas are never fetched'):
        run("parse_json", {"content": "1", "schema": {"$ref": address}})


def test_a_missing_file_fails(run):
    """A file that is not there is a failure, not an empty document."""
    with pytest.raises(StepError, match=r"a\.json"):
        run("parse_json", {"file": "a.json"})
