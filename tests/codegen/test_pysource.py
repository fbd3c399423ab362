"""Source text that a formatter leaves alone, whatever is in the values."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustchain_airflow.codegen.pysource import Call, Name, docstring, expression, literal_text, one_line, statement

RUFF = Path(sys.executable).with_name("ruff")

HOSTILE = [
    '"', "'",
    '"""', "'''", "\\", "\n", "\r", "\t", "\0", "\ud800", "\u202e", "\u2028", "\x85", "#", "{", "%", "é", "日",
    "e\u0301", "a", " ", "select * from t\n",
    "x" * 30, "{{ a.output.b }}", "__import__('os')", ")", "]", ",", "\\N{DASH}",
]  # fmt: skip


def text(random_: random.Random) -> str:
    return "".join(random_.choice(HOSTILE) for _ in range(random_.choice([0, 2, 7, 25])))


def value(random_: random.Random, depth: int) -> Any:
    kind = random_.random()
    if depth == 0 or kind < 0.45:
        scalars = [
            random_.randrange(-(10**9), 10**9),
            True,
            None,
            random_.random(),
            1e100,
            timedelta(milliseconds=1500),
        ]
        return random_.choice([text(random_), text(random_), text(random_), *scalars])
    size = random_.choice([0, 1, 2, 5])
    if kind < 0.6:
        return [value(random_, depth - 1) for _ in range(size)]
    if kind < 0.8:
        return {text(random_): value(random_, depth - 1) for _ in range(size)}
    keywords = {"kw" * random_.randrange(1, 9): value(random_, depth - 1) for _ in range(size)}
    return Call("Some.Name", [value(random_, depth - 1)], keywords, exploded=random_.random() < 0.2)


def test_fixpoint_of_the_formatter(tmp_path: Path) -> None:
    """400 nested calls with every kind of hostile text come out as an unconfigured `ruff format` would write them."""
    random_ = random.Random(20260101)
    source = "".join(
        statement(f"variable_{number} = ", Call("Operator", keywords={"parameters": value(random_, 4)})) + "\n"
        for number in range(400)
    )
    file = tmp_path / "generated.py"
    file.write_text(source)
    ran = subprocess.run([RUFF, "format", "--isolated", "--diff", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[:2000] + ran.stderr


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(json_values)
def test_values_come_back(json_value: Any) -> None:
    """Every JSON value is a literal that means just that value, at any indentation."""
    assert ast.literal_eval(expression(json_value)) == json_value
    assert ast.literal_eval(expression(json_value, indent=60, column=80)) == json_value


@given(st.text())
def test_text_is_one_ascii_safe_literal(any_text: str) -> None:
    """A text is one literal on one line, with nothing unprintable left in it."""
    literal = literal_text(any_text)
    assert ast.literal_eval(literal) == any_text
    assert literal.isprintable()


@given(st.lists(st.text(), min_size=1))
def test_docstring_is_one_statement(lines: list[str]) -> None:
    """No text can end the docstring it stands in."""
    body = ast.parse(docstring(lines)).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)


@given(st.text())
def test_comment_is_one_line(any_text: str) -> None:
    """No text can end the comment it stands in."""
    assert ast.parse(f"x = 1  # {one_line(any_text)}\n").body[1:] == []
    assert len(f"# {one_line(any_text)}".splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (timedelta(seconds=1), "timedelta(seconds=1)"),
        (timedelta(seconds=300), "timedelta(minutes=5)"),
        (timedelta(hours=48), "timedelta(days=2)"),
        (timedelta(milliseconds=1500), "timedelta(milliseconds=1500)"),
        (timedelta(0), "timedelta(seconds=0)"),
        (timedelta(microseconds=1), "timedelta(microseconds=1)"),
        (1e100, "1e100"),
        (float("inf"), 'float("inf")'),
        ('say "no"', "'say \"no\"'"),
        (("one",), '("one",)'),
        (Name("dag.x"), "dag.x"),
    ],
)
def test_spelling(value: Any, source: str) -> None:
    """Values are spelt as somebody would write them."""
    assert expression(value) == source


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": b"x"}, [print]])
def test_nothing_is_printed_by_its_repr(value: object) -> None:
    """What is no value of a mission is refused: no callable gets into a generated file."""
    with pytest.raises(TypeError):
        expression(value)
