"""parse_yaml: the meaning of mission files, several documents, pointers and schemas."""

from __future__ import annotations

import pytest

from rustchain_airflow.steps.sdk import StepError

STREAM = """\
# first
a: 1
---
b: |
  text
  # no comment
...
%YAML 1.2
---
c: 3
"""
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("0644", "0644"),
        ("2024-01-31", "2024-01-31"),
        ("12:30:45", "12:30:45"),
        ("true", True),
        ("1.50", 1.5),
        ("null", None),
        ("{1: a}", {"1": "a"}),
        ("- &x {k: v}\n- <<: *x", [{"k": "v"}, {"k": "v"}]),
    ],
)
def test_values_mean_what_they_mean_in_missions(run, text, value):
    """YAML is YAML 1.2 core: only true and false are booleans, dates and leading zeros stay text."""
    assert run("parse_yaml", {"content": text}) == {"parsed": value, "valid": True}


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (STREAM, [{"a": 1}, {"b": "text\n# no comment\n"}, {"c": 3}]),
        ("---\na: 1\n", [{"a": 1}]),
        ("a\n---\n---\nb\n", ["a", None, "b"]),
        ("# only a comment\n---\na\n...\n# after\n", ["a"]),
        ("--- a\n--- >\n folded\n text\n", ["a", "folded text\n"]),
        ("a: ' --- '\nb: ---x\n", [{"a": " --- ", "b": "---x"}]),
        ("a: 1\r\n---\r\nb: 2\r\n", [{"a": 1}, {"b": 2}]),
        ("---", [None]),
    ],
)
def test_documents_of_a_stream(run, text, documents):
    """`all` gives every document in order; `first`, the default, the one in front."""
    assert run("parse_yaml", {"content": text, "documents": "all"})["parsed"] == documents
    assert run("parse_yaml", {"content": text})["parsed"] == documents[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [\n", "content:"),
        ("a: 1\nb: 2\na: 3\n", 'content:3:1: .*"a"'),
        ("x: 1\n---\na: 1\n\tb: 2\n", "content:4:1: "),
        ("a: !!python/object:os.system x\n", "content:1:4: "),
        ("a: .inf\n", "content:1:4: "),
        ("a: *nowhere\n", "content:1:4: "),
        (BOMB, "alias"),
        ("[" * 5_000 + "]" * 5_000, "nest|deep"),
        ("# nothing\n", "content: the text is empty"),
        ("", "content: the text is empty"),
    ],
)
def test_what_is_not_yaml_fails_at_its_line(run, text, message):
    """Faults are told with line and column of the whole stream, bombs and deep nesting in bounded memory."""
    with pytest.raises(StepError, match=message) as caught:
        run("parse_yaml", {"content": text, "documents": "all"})
    assert "\n" not in str(caught.value)


def test_first_does_not_judge_what_follows(run):
    """With `first` a broken second document is not read."""
    assert run("parse_yaml", {"content": "a: 1\n---\n[\n"})["parsed"] == {"a": 1}


def test_pointer_and_schema_speak_of_all_documents(run):
    """With `all` the value is the list of documents."""
    parameters = {"file": "a.yml", "documents": "all", "pointer": "/1/b", "schema": "items: {type: object}"}
    assert run("parse_yaml", parameters, files={"a.yml": "a: 1\n---\nb: 2\n"})["parsed"] == 2
    with pytest.raises(StepError, match="not satisfied at /0") as caught:
        run("parse_yaml", parameters, files={"a.yml": "1\n---\nb: 2\n"})
    assert caught.value.output == {"parsed": 2, "valid": False}
