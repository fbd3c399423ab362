"""References: what is one, what is left alone, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustchain_airflow.expressions import (
    MISSING,
    AsWritten,
    Reference,
    Template,
    descend,
    legacy_references,
    parse,
    parse_path,
    render,
    spell,
    strings,
)


def only(text: str) -> Reference:
    reference = parse(text).whole
    assert reference is not None
    return reference


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("{{a}}", ("a",)),
        ("{{ a }}", ("a",)),
        ("{{\n  a\t}}", ("a",)),
        ("{{ a.output.b }}", ("a", "output", "b")),
        ("{{ a.output.rows[0] }}", ("a", "output", "rows", 0)),
        ("{{ a.output.rows[-1].x }}", ("a", "output", "rows", -1, "x")),
        ("{{ a.rows.0 }}", ("a", "rows", "0")),
        ('{{ steps["my-step"].output }}', ("steps", "my-step", "output")),
        ("{{ steps['it\\'s'].output }}", ("steps", "it's", "output")),
        ('{{ a["quo\\"te"] }}', ("a", 'quo"te')),
        ('{{ a["ünï"][ 3 ] }}', ("a", "ünï", 3)),
        ("{{ _x.Y9 }}", ("_x", "Y9")),
    ],
)
def test_paths(text: str, segments: tuple[str | int, ...]) -> None:
    """A reference is a dotted path with [n] and ["key"] steps (semantics §7.1)."""
    assert only(text).segments == segments


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("{{ a | default(1) }}", 1),
        ("{{ a|default(-2.5e3) }}", -2500.0),
        ('{{ a | default("x y") }}', "x y"),
        ("{{ a | default('it\\'s') }}", "it's"),
        ("{{ a | default(true) }}", True),
        ("{{ a | default(null) }}", None),
        ("{{ a | default([]) }}", []),
        ("{{ a | default({}) }}", {}),
        ("{{ a | default(')}}') }}", ")}}"),
        ("{{ a }}", MISSING),
    ],
)
def test_defaults(text: str, default: Any) -> None:
    """``| default(literal)`` takes a JSON literal, or text in single quotes."""
    assert only(text).default == default


@pytest.mark.parametrize(
    "text",
    [
        "{{.Names}}",
        "{{ range .Items }}",
        "{{ a b }}",
        "{{ a | upper }}",
        "{{ a + 1 }}",
        "{{ 1a }}",
        "{{ a. }}",
        "{{ a[b] }}",
        "{{ my-step.output }}",
        "{{}}",
        "{{ a | default(b) }}",
        "{{ a",
        "{% if a %}",
        "{# a #}",
        "{a}",
        "f'{a}' {b!r}",
        "${a} $(a)",
        "}} {{",
    ],
)
def test_what_is_no_reference_is_never_touched(text: str) -> None:
    """Text that does not match the grammar stays as it is, byte by byte (semantics §7.6)."""
    assert parse(text) == Template((text,))
    assert render(text, lambda reference: pytest.fail(str(reference))) == text


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("\\{{ a }}", "{{ a }}"),
        ("x \\{{ a }} {{ a }}", "x {{ a }} A"),
        ("{{{a}}}", "{A}"),
        ("{{ a }}{{ a }}", "AA"),
        ("{{.x}}{{a}}", "{{.x}}A"),
        ("{{ {{a}} }}", "{{ A }}"),
        ("{{ unknown }} {{a}}", "{{ unknown }} A"),
        ("{{ unknown }}", "{{ unknown }}"),
    ],
)
def test_rendering(text: str, rendered: str) -> None:
    """Known references are replaced, escaped and unknown ones are not."""

    def resolve(reference: Reference) -> str:
        if reference.head != "a":
            raise AsWritten(reference.head)
        return "A"

    assert render(text, resolve) == rendered


@pytest.mark.parametrize("value", [3, 1.5, True, None, [1, {"a": 2}], {"b": []}, "text"])
def test_a_whole_reference_keeps_its_type(value: Any) -> None:
    """Alone in its string a value stays what it is; in other text it is text, or compact JSON (semantics §7.5)."""
    assert render("{{ v }}", lambda _: value) == value
    expected = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    assert render("={{ v }}", lambda _: value) == f"={expected}"


def test_inserted_text_is_never_searched_again() -> None:
    """One pass: a value that looks like a reference is a value (semantics §7.6)."""
    assert render(["{{ a }}", "x{{ a }}"], lambda _: "{{ b }}") == ["{{ b }}", "x{{ b }}"]


def test_keys_are_excluded() -> None:
    """References stand in values at any depth, never in keys (semantics §7.1)."""
    assert render({"{{ a }}": [{"k": "{{ a }}"}]}, lambda _: 1) == {"{{ a }}": [{"k": 1}]}


def test_bindings_say_what_a_name_means() -> None:
    """A reference as written may mean another; single braces are read only where a binding knows them (§7.9)."""
    bindings = {"{{ x_result }}": parse_path("x.output.main"), "{x_response}": parse_path("x.output.main")}

    def resolve(reference: Reference) -> str:
        return reference.path

    text = "{{ x_result }} {x_response} {y_response} {{x_response}} {{{x_response}}}"
    assert render(text, resolve, bindings) == ("x.output.main x.output.main {y_response} x_response {x_response}")


def test_legacy_references_are_found_in_single_braces_only() -> None:
    """``{ID_response}``, ``{ID_result}``, ``{ID_context}`` and nothing else (semantics §7.9)."""
    text = "{a_response} {{b_result}} {c_context} {d} {e_result!r} {{{f_result}}}"
    assert [(written, step_id) for written, step_id, _ in legacy_references(text)] == [
        ("{a_response}", "a"),
        ("{c_context}", "c"),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("a",), 1),
        (("l", 0), "x"),
        (("l", -1), "y"),
        (("l", "1"), "y"),
        (("l", 2), MISSING),
        (("l", "first"), MISSING),
        (("o", "k"), None),
        (("o", "z"), MISSING),
        (("a", "b"), MISSING),
        (("n", 0), "zero"),
    ],
)
def test_descend(path: tuple[str | int, ...], expected: Any) -> None:
    """A path into a value ends in what is there, null included, or in MISSING."""
    value = {"a": 1, "l": ["x", "y"], "o": {"k": None}, "n": {"0": "zero"}}
    assert descend(value, path) is expected or descend(value, path) == expected


def test_strings_come_with_their_paths() -> None:
    """All strings of a value, at any depth, in the order they are written."""
    value = {"a": "1", "b": ["2", {"c": "3"}], "d": 4}
    assert list(strings(value)) == [(("a",), "1"), (("b", 0), "2"), (("b", 1, "c"), "3")]


@given(st.lists(st.one_of(st.text(), st.integers(-99, 99)), max_size=4))
def test_spelling_reads_back(rest: list[str | int]) -> None:
    """`parse_path` of `spell` is the same path, whatever the keys hold."""
    segments = ("head", *rest)
    assert parse_path(spell(segments)).segments == segments


@given(st.text(alphabet=st.sampled_from("{}a.b \\[]\"'|0%#"), max_size=40))
def test_nothing_is_lost(text: str) -> None:
    """Parsing any text never fails, and with every reference kept as written only escapes change."""
    rendered = render(text, lambda _: (_ for _ in ()).throw(AsWritten("x")))
    assert rendered == text.replace("\\{{", "{{")
