"""Reading mission text (semantics §1.1, §1.2, §1.4): values, faults, limits, and the places of parts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rustchain_airflow.source import FAULTS, DocumentPath, Limits, SourceError, Span, read_file, read_text


def value(text: str | bytes, format: Any = "yaml") -> Any:
    return read_text(text, name="m", format=format).value


def faults(text: str | bytes, format: Any = "yaml", limits: Limits | None = None) -> list[tuple[str, int, int]]:
    """Code, line and column of each fault."""
    with pytest.raises(SourceError) as caught:
        read_text(text, name="m", format=format, limits=limits or Limits())
    return [
        (fault.code, fault.span.line, fault.span.column) if fault.span else (fault.code, 0, 0)
        for fault in caught.value.faults
    ]


def only_fault(text: str, format: Any = "yaml") -> Any:
    with pytest.raises(SourceError) as caught:
        read_text(text, name="m", format=format)
    [fault] = caught.value.faults
    return fault


# Values

SCALARS: list[tuple[str, Any]] = [
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("no", "no"),
    ("y", "y"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("", None),
    ("~", None),
    ("null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("0", 0),
    ("-0", 0),
    ("+12", 12),
    ("-12", -12),
    ("0644", "0644"),
    ("-007", "-007"),
    ("00.5", "00.5"),
    ("0o17", 15),
    ("0x1F", 31),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("22:22", "22:22"),
    ("12:30:45", "12:30:45"),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
    ("1.5", 1.5),
    ("1.", 1.0),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("-1.5E-3", -0.0015),
    ("1.2.3", "1.2.3"),
    (".", "."),
    ("...x", "...x"),
    ("9" * 4000, int("9" * 4000)),
    ('"644"', "644"),
    ("'true'", "true"),
    ('""', ""),
    ('"\\x41\\u00e9\\U0001F600\\n"', "Aé😀\n"),
    ("!!str 12", "12"),
    ("!!int 0644", 644),
    ('!!int "12"', 12),
    ("!!float 1", 1.0),
    ('!!bool "true"', True),
    ("!!null ~", None),
    ("!!map {}", {}),
    ("!!seq []", []),
    ("! text", "text"),
    ("a {{ b.output }} c", "a {{ b.output }} c"),
    ("x # a comment", "x"),
    ("http://host:80/a#b", "http://host:80/a#b"),
]


@pytest.mark.parametrize(("written", "meant"), SCALARS, ids=[written[:20] or "empty" for written, _ in SCALARS])
def test_scalars_have_their_yaml_1_2_meaning(written: str, meant: Any) -> None:
    """A scalar means what YAML 1.2 core says, and what YAML 1.1 made of words, times, dates and modes stays text."""
    read = value(f"a: {written}\n")["a"]
    assert (read, type(read)) == (meant, type(meant))


DOCUMENTS: dict[str, tuple[str | bytes, Any]] = {
    "keys become their text": ("1: a\ntrue: b\n~: c\n0x1F: d\n", {"1": "a", "true": "b", "~": "c", "0x1F": "d"}),
    "byte order mark": (b"\xef\xbb\xbfa: 1\n", {"a": 1}),
    "CR LF": ("a: 1\r\nb:\r\n  - c\r\n", {"a": 1, "b": ["c"]}),
    "document start and end": ("---\na: 1\n...\n", {"a": 1}),
    "version of the root keeps its text": (
        "version: 1.10\nx: {version: 1.10}",
        {"version": "1.10", "x": {"version": 1.1}},
    ),
    "version that is an integer": ("version: 2", {"version": "2"}),
    "version with a tag": ("version: !!float 2", {"version": 2.0}),
    "literal block": ("a: |\n  x\n   y\n\nb: 1\n", {"a": "x\n y\n", "b": 1}),
    "folded block": ("a: >-\n  x\n  y\n", {"a": "x y"}),
    "flow": ("{a: [1, {b: c}], 'd': \"e\"}", {"a": [1, {"b": "c"}], "d": "e"}),
    "anchor and alias": ("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
    "anchor set again": ("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", {"a": 1, "b": 1, "c": 2, "d": 2}),
    "alias as a key": ("a: &x k\n*x : 1\n", {"a": "k", "k": 1}),
    "merge": ("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
    "merge after the keys": ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
    "merge of a list, earlier wins": ("a:\n  <<: [{x: 1}, {x: 2, y: 2}]\n", {"a": {"x": 1, "y": 2}}),
    "merge of a merge": (
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}",
        {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2}},
    ),
    "quoted merge key": ('"<<": 1', {"<<": 1}),
    "root that is no mapping": ("- a\n- b\n", ["a", "b"]),
    "null as root": ("null", None),
    "jinja and go templates": ('a: "{{.Names}} {% x %}"', {"a": "{{.Names}} {% x %}"}),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_documents_have_their_value(case: str) -> None:
    """A well-formed document gives a JSON value with text keys."""
    text, meant = DOCUMENTS[case]
    assert value(text) == meant


# Faults

MIXED = "a: !secret x\nb: *nowhere\nc: .inf\nd: 1\nd: 2\ne: {{env.X}}\nf: 'open\n"

FAULTY: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "tab indents a list": ("a:\n\t- b", [("RC001", 2, 1)]),
    "tab at the start": ("\ta: b", [("RC001", 1, 1)]),
    "tab after blanks": ("a:\n  b: 1\n \tc: 2", [("RC001", 3, 2)]),
    "bad indentation": ("a:\n  - b\n c: d", [("RC001", 3, 2)]),
    "indented too deep": ("a: b\n  c: d", [("RC001", 2, 3)]),
    "key without colon": ("key\nb: c", [("RC001", 2, 1)]),
    "list in a mapping": ("a: x\n- b", [("RC001", 2, 1)]),
    "mapping in a list": ("- a\nb: c", [("RC001", 2, 1)]),
    "list item in a value": ("a: - b", [("RC001", 1, 4)]),
    "colon in a value": ("a: b: c", [("RC001", 1, 5)]),
    "columns count characters": ("é😀: ü: x", [("RC001", 1, 6)]),
    "quote never closed": ("a: 1\nb: 'x\nc: d", [("RC001", 2, 4)]),
    "double quote never closed": ('a: 1\nb: "x\nc: d', [("RC001", 2, 4)]),
    "text after a quote": ('a: "x" y', [("RC001", 1, 8)]),
    "escape unknown": ('a: "x\\qy"', [("RC001", 1, 6)]),
    "half of a surrogate pair": ('a: "\\ud83d"', [("RC001", 1, 5)]),
    "bracket never closed": ("a: [1,2\nb: c", [("RC001", 1, 4)]),
    "brace never closed": ("a: {b: c", [("RC001", 1, 4)]),
    "closing bracket alone": ("a: ]", [("RC001", 1, 4)]),
    "at sign": ("a: @x", [("RC001", 1, 4)]),
    "backtick": ("a: `x`", [("RC001", 1, 4)]),
    "percent": ("a: %x", [("RC001", 1, 4)]),
    "glob": ("a: *.py", [("RC001", 1, 4)]),
    "text after a block sign": ("a: |x\n", [("RC001", 1, 5)]),
    "unknown directive": ("%FOO\n---\na", [("RC001", 1, 1)]),
    "undefined tag handle": ("a: !x!y z", [("RC001", 1, 4)]),
    "control character": ("a: b\nc: \x01", [("RC001", 2, 4)]),
    "duplicate key": ("a: 1\nb: 2\na: 3", [("RC002", 3, 1)]),
    "all duplicate keys": ("a: 1\na: 2\nb: {x: 1, x: 2, x: 3}", [("RC002", 2, 1), ("RC002", 3, 11), ("RC002", 3, 17)]),
    "keys of equal text": ('1: a\n"1": b', [("RC002", 2, 1)]),
    "two merge keys": ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a", [("RC002", 4, 3)]),
    "second document": ("a: b\n---\nc: d", [("RC003", 2, 1)]),
    "second empty document": ("a: b\n---\n", [("RC003", 2, 1)]),
    "unknown tags": (
        "a: !foo x\nb: !!python/object:os.system x\nc: &x !q [1]",
        [("RC004", 1, 4), ("RC004", 2, 4), ("RC004", 3, 7)],
    ),
    "tags of YAML 1.1": ("a: !!binary abc\nb: !!set {x}", [("RC004", 1, 4), ("RC004", 2, 4)]),
    "tag and value differ": (
        "a: !!int x\nb: !!map [1]\nc: !!str {}\nd: !!bool yes",
        [("RC005", 1, 4), ("RC005", 2, 4), ("RC005", 3, 4), ("RC005", 4, 4)],
    ),
    "undefined alias": ("a: *x", [("RC006", 1, 4)]),
    "alias before its anchor": ("a: *x\nb: &x 1", [("RC006", 1, 4)]),
    "recursive alias": ("a: &x [1, *x]", [("RC007", 1, 11)]),
    "recursive mapping": ("&x\na: {b: *x}", [("RC007", 2, 8)]),
    "unquoted reference": ("a: {{env.X}}", [("RC011", 1, 4)]),
    "unquoted reference with spaces": ("a: {{ env.X }}", [("RC011", 1, 4)]),
    "unquoted reference and text": ("a: {{env.X}}/path", [("RC011", 1, 4)]),
    "unquoted references in a list": ("a: [{{b.c}}, {{d.e}}]", [("RC011", 1, 5), ("RC011", 1, 14)]),
    "unquoted reference with brackets": ('a: {{steps["x-y"].output}}', [("RC011", 1, 4)]),
    "unquoted reference as list item": ("a:\n  - {{b.c}}\nd: 1\nd: 2", [("RC011", 2, 5), ("RC002", 4, 1)]),
    "list as a key": ("[a, [b]]: c", [("RC012", 1, 1)]),
    "mapping as a key": ("? {a: {b: c}}\n: c", [("RC012", 1, 3)]),
    "alias of a list as a key": ("a: &x [1]\n*x : 2", [("RC012", 2, 1)]),
    "infinity and not-a-number": ("a: .inf\nb: -.INF\nc: .nan\nd: 1e999", [("RC013", n, 4) for n in (1, 2, 3, 4)]),
    "integer of too many digits": ("a: " + "9" * 4001, [("RC013", 1, 4)]),
    "hexadecimal of too many digits": ("a: 0x" + "f" * 9000, [("RC013", 1, 4)]),
    "merge of text": ("a:\n  <<: text", [("RC014", 2, 3)]),
    "merge of a list of text": ("a:\n  <<: [{}, text]", [("RC014", 2, 3)]),
    "nothing": ("", [("RC015", 0, 0)]),
    "blanks": (" \n\n", [("RC015", 0, 0)]),
    "comments": ("# a\n# b\n", [("RC015", 0, 0)]),
    "an empty document": ("---\n# a\n", [("RC015", 0, 0)]),
    "faults of every kind": (
        MIXED,
        [("RC004", 1, 4), ("RC006", 2, 4), ("RC013", 3, 4), ("RC002", 5, 1), ("RC011", 6, 4), ("RC001", 7, 4)],
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_faults_have_their_code_and_place(case: str) -> None:
    """Each fault of a text is found in one pass, with its code and the place where a person would look."""
    text, expected = FAULTY[case]
    assert faults(text) == expected


MESSAGES: list[tuple[str, str, str | None]] = [
    ("a: b: c", 'an unquoted value cannot hold ": "', 'quote it: a: "b: c"'),
    ('- a: say "b": c', 'an unquoted value cannot hold ": "', "quote it: - a: 'say \"b\": c'"),
    ("a: " + "b: " * 1000, 'an unquoted value cannot hold ": "', "quote the value"),
    (
        "a: {{env.X}}",
        'the reference "{{env.X}}" is not quoted, so its braces are read as a mapping',
        'quote it: a: "{{env.X}}"',
    ),
    (
        "a: {{env.X}}/b  # c",
        'the reference "{{env.X}}/b" is not quoted, so its braces are read as a mapping',
        'quote it: a: "{{env.X}}/b"  # c',
    ),
    (
        "a: [{{b.c}}, d]",
        'the reference "{{b.c}}" is not quoted, so its braces are read as a mapping',
        'quote it: a: ["{{b.c}}", d]',
    ),
    ("a: *.py", 'an unquoted value cannot start with "*"', 'quote it: "*.py"'),
    ("a: @x", 'an unquoted value cannot start with "@"', 'quote it: "@x"'),
    ("a:\n\t- b", "a tab cannot indent", "indent with spaces"),
    ("a: 1\nb: 2\na: 3", '"a" stands here again; it was on line 1', "remove one of the two"),
    ("a: 'x", "the quote that opens here is never closed", "close it with '"),
    ("a: [1", 'the "[" that opens here is never closed', 'close it with "]"'),
    (
        "a:\n  - b\n c: d",
        "this does not line up with the mapping that starts on line 1",
        "give it the indentation of the lines it belongs to",
    ),
    ("a: !foo x", 'tag "!foo" is not known here', "remove the tag, or quote the value"),
    ("a: b\n---\nc: d", "a second document starts here", "put each mission into a file of its own"),
]


@pytest.mark.parametrize(("text", "message", "help"), MESSAGES, ids=[text[:20] for text, _, _ in MESSAGES])
def test_messages_say_the_fault_and_how_to_mend_it(text: str, message: str, help: str | None) -> None:
    """A message names the fault in one clause; its help is the thing to type."""
    fault = only_fault(text)
    assert (fault.message, fault.help) == (message, help)


def test_the_corrected_line_of_an_unquoted_reference_is_right() -> None:
    """What the help of an unquoted reference shows loads, with the reference as text."""
    fault = only_fault('url: {{steps["a-b"].output.x}}/y')
    assert fault.help is not None
    assert value(fault.help.removeprefix("quote it: ")) == {"url": '{{steps["a-b"].output.x}}/y'}


def test_fault_codes_are_documented() -> None:
    """Every code has a slug of its own that completes "allow …", and a paragraph."""
    slugs = [slug for slug, _ in FAULTS.values()]
    assert len(set(slugs)) == len(slugs)
    assert list(FAULTS) == [f"RC{number:03}" for number in range(1, len(FAULTS) + 1)]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)
    assert all(text.endswith(".") and "\n" not in text for _, text in FAULTS.values())


def test_an_error_says_where() -> None:
    """The text of a SourceError has one line per fault, with file, line, column and code."""
    with pytest.raises(SourceError) as caught:
        read_text("a: 1\na: 2\nb: .inf", name="x.yaml")
    assert str(caught.value).splitlines() == [
        'x.yaml:2:1: RC002 "a" stands here again; it was on line 1',
        'x.yaml:3:4: RC013 ".inf" is a number that JSON cannot hold',
    ]
    assert caught.value.line(3) == "b: .inf"


# Limits


def test_deep_nesting_is_refused_at_its_place() -> None:
    """Nesting beyond the limit is an error where it begins, whatever follows."""
    assert value("[" * 100 + "]" * 100) == json.loads("[" * 100 + "]" * 100)
    assert faults("[" * 101 + "]" * 101) == [("RC009", 1, 101)]
    assert faults("[" * 100_000) == [("RC009", 1, 101)]
    assert faults("{a: " * 100_000) == [("RC009", 1, 401)]
    assert faults("- " * 100_000) == [("RC009", 1, 201)]
    assert faults("[" * 100_000, "json") == [("RC009", 1, 101)]
    assert faults('{"a":' * 100_000, "json") == [("RC009", 1, 501)]


def test_aliases_cannot_nest_deeper_than_text() -> None:
    """A chain of aliases is as deep as what it stands for."""
    chain = "- &a0 [x]\n" + "".join(f"- &a{n} [*a{n - 1}]\n" for n in range(1, 1000))
    assert faults(chain) == [("RC009", 100, 9)]


def test_an_alias_bomb_is_refused() -> None:
    """A document of ten lines that stands for 10^9 values is an error."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    [(code, line, _)] = faults("\n".join(lines))
    assert (code, line) == ("RC008", 6)


@pytest.mark.parametrize(
    "merges", ["".join("  - <<: *b\n" for _ in range(5000)), f"  <<: [{', '.join(['*b'] * 5000)}]"]
)
def test_a_merge_bomb_is_refused(merges: str) -> None:
    """Five thousand merges of two thousand keys are an error, found before they are made."""
    text = "base: &b\n" + "".join(f"  k{n}: {n}\n" for n in range(2000)) + "m:\n" + merges
    assert [code for code, _, _ in faults(text)] == ["RC008"]


def test_aliases_may_grow_with_what_is_written() -> None:
    """A long mission may use one anchor in every step."""
    step = "  - {id: s, a: 1, b: 2, c: 3, d: 4, <<: *base}\n"
    text = "base: &base {x: 1, y: 2, z: 3, u: 4, v: 5}\nsteps:\n" + step * 1000
    read = read_text(text, name="m", limits=Limits(max_expansion=10)).value
    assert read["steps"][999]["v"] == 5


def test_values_are_counted() -> None:
    """A document of more values than the limit is an error, in YAML and in JSON."""
    assert faults("[1, 1, 1, 1]", limits=Limits(max_nodes=4)) == [("RC010", 1, 11)]
    assert faults("[1, 1, 1, 1]", "json", Limits(max_nodes=4)) == [("RC010", 1, 11)]


def test_faults_of_one_long_line_are_all_found() -> None:
    """Twenty thousand unquoted references in a line of a third of a megabyte are twenty thousand faults."""
    found = faults("a: [" + "{{step.output}}, " * 20_000 + "]")
    assert {code for code, _, _ in found} == {"RC011"}
    assert [column for _, _, column in found] == [5 + 17 * n for n in range(20_000)]


def test_large_texts_are_read() -> None:
    """Five megabytes are read: in many lines, in one line, in one value."""
    steps = "".join(f"- {{id: s{n}, text: 'some text that makes it longer'}}\n" for n in range(90_000))
    assert len(value(steps)) == 90_000
    assert len(value("[" + "word, " * 800_000 + "]")) == 800_000
    assert len(value("a: " + "x" * 5_000_000)["a"]) == 5_000_000
    assert len(value(json.dumps(["x\n" * 2_500_000]), "json")[0]) == 5_000_000


# Files


@contextmanager
def as_nobody() -> Iterator[None]:
    """Permissions do not hold root back, and tests often run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def file_faults(path: Path, limits: Limits | None = None) -> list[str]:
    with pytest.raises(SourceError) as caught:
        read_file(path, limits=limits or Limits())
    assert caught.value.name == str(path)
    return [f"{fault.code} {fault.message}" for fault in caught.value.faults]


def test_a_file_is_read(tmp_path: Path) -> None:
    """A document knows its file as shown, its text without byte order mark, and the digest of its bytes."""
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\n")
    document = read_file(path)
    assert (document.name, document.text, document.format) == (str(path), "a: é\n", "yaml")
    assert document.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document.value == {"a": "é"}


@pytest.mark.parametrize(("name", "format"), [("m.json", "json"), ("m.JSON", "json"), ("m.yml", "yaml"), ("m", "yaml")])
def test_the_name_decides_the_format(tmp_path: Path, name: str, format: str) -> None:
    """A name that ends in .json is JSON, every other YAML."""
    (tmp_path / name).write_text('{"a": 1}')
    assert read_file(str(tmp_path / name)).format == format


def test_a_file_that_is_no_text_file_says_what_it_is(tmp_path: Path) -> None:
    """Whatever stands under a mission's name is told apart, and none of it waits or raises anything else."""
    path = tmp_path / "m.yaml"
    assert file_faults(path) == ["RC016 there is no such file"]
    assert file_faults(path / "below") == ["RC016 there is no such file"]
    assert file_faults(tmp_path) == ["RC017 this is a directory, not a file"]
    path.symlink_to(path)
    assert file_faults(path) == [f"RC018 the file cannot be read: {os.strerror(errno.ELOOP).lower()}"]
    path.unlink()
    os.mkfifo(path)
    assert file_faults(path) == ["RC019 this is not a regular file"]
    path.unlink()
    path.write_bytes(b"")
    assert file_faults(path) == ["RC015 the file is empty"]
    path.write_bytes(b"PK\x03\x04" + bytes(range(256)))
    assert file_faults(path) == ["RC021 this is not a text file: byte 4 is NUL"]
    path.write_bytes("a: 1\n".encode("utf-16"))
    assert file_faults(path) == ["RC022 the file is encoded in UTF-16, not UTF-8"]
    path.write_bytes("a: 1\n".encode("utf-16-be"))
    assert file_faults(path) == ["RC022 the file is encoded in UTF-16, not UTF-8"]


def test_a_name_that_no_file_can_have_is_unreadable() -> None:
    """A NUL in a name is a fault of the name, not an exception."""
    assert file_faults(Path("a\0b")) == ["RC018 the file cannot be read: embedded null byte"]


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    """The operating system's reason is told."""
    path = tmp_path / "m.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    with as_nobody():
        assert file_faults(path) == ["RC018 the file cannot be read: permission denied"]


def test_the_first_byte_that_is_not_utf_8_is_named() -> None:
    """A file in another encoding is an error at its first such byte, with the text still there to show."""
    with pytest.raises(SourceError) as caught:
        read_text("a: ü\nb: é".encode() + "è\n".encode("latin-1"), name="m")
    [fault] = caught.value.faults
    assert fault.message == "the file is not encoded in UTF-8: byte 0xe8 at offset 11"
    assert fault.span == Span(2, 5, 2, 6)
    assert caught.value.line(2) == "b: é\ufffd"


def test_half_a_surrogate_pair_is_no_text() -> None:
    """Text that cannot be written as UTF-8 is refused, not passed on."""
    assert faults("a: \ud800") == [("RC022", 1, 4)]


def test_the_size_is_asked_for_before_reading(tmp_path: Path) -> None:
    """A file over the limit is refused by its size; the defaults admit 100 MB."""
    path = tmp_path / "m.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # more than could be read
    assert file_faults(path) == ["RC020 the file has 1,099,511,627,776 bytes; the limit is 134,217,728"]
    path.write_text("a: 1\n")
    assert file_faults(path, Limits(max_bytes=4)) == ["RC020 the file has 5 bytes; the limit is 4"]
    assert read_file(path, limits=Limits(max_bytes=5)).value == {"a": 1}


@pytest.mark.parametrize("change", [b"a: 1\n# more\n", b"a: 2\n", b""], ids=["grown", "rewritten", "cut"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    """A file that another program writes meanwhile is an error, not half of each."""
    path = tmp_path / "m.yaml"
    path.write_bytes(b"a: 1\n")
    os.utime(path, (1, 1))
    real, calls = os.fstat, []

    def fstat_then_write(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if not calls:
            path.write_bytes(change)
        calls.append(found)
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_write)
    assert file_faults(path) == ["RC023 the file changed while it was read"]


# JSON

JSON_FAULTS: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "duplicate keys": ('{"a": 1,\n "a": 2, "b": {"\\u0062": 1, "b": 2}}', [("RC002", 2, 2), ("RC002", 2, 29)]),
    "not-a-number": ('{"a": NaN, "b": [Infinity, -Infinity]}', [("RC013", 1, 7), ("RC013", 1, 18), ("RC013", 1, 28)]),
    "float out of range": ("1e999", [("RC013", 1, 1)]),
    "integer of too many digits": ("9" * 5000, [("RC013", 1, 1)]),
    "comma before a brace": ('{"a": 1,}', [("RC001", 1, 8)]),
    "comma before a bracket": ("[1,\n]", [("RC001", 1, 3)]),
    "single quotes": ("{'a': 1}", [("RC001", 1, 2)]),
    "no colon": ('{"a" 1}', [("RC001", 1, 6)]),
    "no comma": ('{"a": 1\n "b": 2}', [("RC001", 2, 2)]),
    "bracket never closed": ('{"a": [1', [("RC001", 1, 7)]),
    "wrong bracket": ('{"a": [1}', [("RC001", 1, 9)]),
    "quote never closed": ('{"a": "x}', [("RC001", 1, 7)]),
    "line break in text": ('["a\nb"]', [("RC001", 1, 2)]),
    "tab in text": ('["a\tb"]', [("RC001", 1, 4)]),
    "unknown escape": ('["ab\\q"]', [("RC001", 1, 5)]),
    "half of a surrogate pair": ('["\\ud800"]', [("RC001", 1, 2)]),
    "leading zero": ("[01]", [("RC001", 1, 2)]),
    "leading plus": ("[+1]", [("RC001", 1, 2)]),
    "comment": ("// x\n{}", [("RC001", 1, 1)]),
    "text after the end": ("{} {}", [("RC001", 1, 4)]),
    "word": ("[True]", [("RC001", 1, 2)]),
    "key that is a number": ("{1: 2}", [("RC001", 1, 2)]),
    "comma first": ("[,]", [("RC001", 1, 2)]),
    "columns count characters": ('["é😀" x]', [("RC001", 1, 7)]),
}


@pytest.mark.parametrize("case", JSON_FAULTS)
def test_json_faults_have_their_place(case: str) -> None:
    """JSON is read strictly, and its faults have codes and places as those of YAML."""
    text, expected = JSON_FAULTS[case]
    assert faults(text, "json") == expected


def test_json_keeps_the_text_of_the_version() -> None:
    """The version of the root keeps its text in JSON too, escapes are decoded, and a byte order mark is accepted."""
    text = b'\xef\xbb\xbf{"version": 1.10, "x": {"version": 1.10}, "s": "\\ud83d\\ude00\\n\\/"}'
    assert value(text, "json") == {"version": "1.10", "x": {"version": 1.1}, "s": "😀\n/"}


# Laws

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def values(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | text,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=20,
    )


def without_version(tree: Any) -> Any:
    """The root's version is the one value that is not read as it was written."""
    return {key: item for key, item in tree.items() if key != "version"} if isinstance(tree, dict) else tree


@given(values(TEXT).map(without_version), st.booleans(), st.sampled_from([None, 2]))
def test_json_is_read_as_the_standard_library_reads_it(tree: Any, ascii: bool, indent: int | None) -> None:
    """Whatever json writes is read as json reads it."""
    text = json.dumps(tree, ensure_ascii=ascii, indent=indent)
    assert value(text, "json") == json.loads(text)


@given(st.text(st.sampled_from('{}[]:,"\\ \n\t01-+.eEaunltrfsu/b'), max_size=12))
def test_json_takes_what_the_standard_library_takes(text: str) -> None:
    """A short text of JSON's own characters is read as json reads it, or refused as json refuses it."""
    seen: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.extend(["duplicate"] if len({key for key, _ in items}) < len(items) else [])
        return dict(items)

    try:
        expected = json.loads(text, object_pairs_hook=pairs, parse_constant=seen.append)
    except ValueError:
        seen.append("not JSON")
    try:
        assert value(text, "json") == expected
    except SourceError:
        assert seen or json.dumps(expected) in ("Infinity", "-Infinity") or "Infinity" in json.dumps(expected)


# PyYAML writes these words without quotes because YAML 1.1 reads them as text.
PLAIN_IN_1_1 = re.compile(r"0o[0-7]+|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")
# U+0085, U+2028 and U+2029 end lines in YAML 1.1 and so in libyaml: unescaped, they do not come back.
YAML_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029")
YAML_TEXT = (
    st.text(YAML_CHARACTERS, max_size=20) | st.from_regex(r"[a-z0-9:#{}\[\]&*!|>'\"%@` .-]{1,12}", fullmatch=True)
).filter(lambda text: not PLAIN_IN_1_1.fullmatch(text))
STYLES = st.sampled_from([None, '"', "'"])


@given(values(YAML_TEXT).map(without_version), STYLES, st.sampled_from([True, False, None]), st.booleans())
def test_yaml_gives_back_what_was_written(tree: Any, style: Any, flow: bool | None, unicode: bool) -> None:
    """Whatever a YAML writer writes, in any style, is read as the value that it wrote."""
    text = yaml.safe_dump(tree, default_style=style, default_flow_style=flow, allow_unicode=unicode)
    read = value(text)
    assert read == tree
    assert json.dumps(read, sort_keys=True) == json.dumps(tree, sort_keys=True)


@given(st.text(st.sampled_from("{}[]:,\"'\\ \n\t-?&*!|>#%@a0.<é😀"), max_size=30))
def test_no_text_raises_anything_but_its_faults(text: str) -> None:
    """Any text is a document whose root can be located, or a SourceError with spans inside the text."""
    lines = text.split("\n")
    spans: list[Span | None]
    try:
        document = read_text(text, name="m")
        spans = [document.span(())]
        json.dumps(document.value)
    except SourceError as error:
        spans = [fault.span for fault in error.faults]
    assert spans
    assert all(
        span is None or (span.line <= len(lines) and span.column <= len(lines[span.line - 1]) + 1) for span in spans
    )


def scalars(tree: Any, path: DocumentPath = ()) -> Iterator[tuple[DocumentPath, Any]]:
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from scalars(item, (*path, key))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from scalars(item, (*path, index))
    else:
        yield path, tree


LOCATABLE = st.dictionaries(st.sampled_from(["id", "steps", "é", "x y"]), values(YAML_TEXT), max_size=4)


@given(LOCATABLE, STYLES, st.booleans(), st.sampled_from(["yaml", "json"]))
def test_every_scalar_is_located_where_it_stands(tree: Any, style: Any, unicode: bool, format: Any) -> None:
    """The text under a scalar's span is that scalar, and the text under its key's span is its key."""
    text = (
        yaml.safe_dump(tree, default_style=style, allow_unicode=unicode, width=10_000)
        if format == "yaml"
        else json.dumps(tree, ensure_ascii=not unicode, indent=1)
    )
    document = read_text(text, name="m", format=format)
    lines = re.split("\r\n|\r|\n", text)
    parts = dict(scalars(tree))
    spans = document.locate([(path, at_key) for path in parts for at_key in (False, True)])
    for path, scalar in parts.items():
        for at_key, meant in ((False, scalar), (True, path[-1] if path else None)):
            span = spans[path, at_key]
            if span.line != span.end_line or (at_key and (not path or isinstance(path[-1], int))):
                continue
            part = lines[span.line - 1][span.column - 1 : span.end_column - 1]
            read = value(f"k: {part}" if format == "yaml" else f'{{"k": {part}}}', format)["k"]
            assert (str(read) if at_key else read) == meant


# Places

LOCATED = """\
name: x
steps:
  - id: a
    depends_on: [b, "c d"]

  # a comment
  - id: é
    text: |
      one
      two

    last: &x {k: v}
z: *x
"""


@pytest.mark.parametrize(
    ("path", "at_key", "span"),
    [
        ((), False, Span(1, 1, 13, 6)),
        (("name",), False, Span(1, 7, 1, 8)),
        (("name",), True, Span(1, 1, 1, 5)),
        (("steps",), False, Span(3, 3, 12, 20)),
        (("steps",), True, Span(2, 1, 2, 6)),
        (("steps", 0), False, Span(3, 5, 4, 27)),
        (("steps", 0), True, Span(3, 5, 4, 27)),
        (("steps", 0, "depends_on", 1), False, Span(4, 21, 4, 26)),
        (("steps", 1, "id"), False, Span(7, 9, 7, 10)),
        (("steps", 1, "text"), False, Span(8, 11, 10, 10)),
        (("steps", 1, "last", "k"), False, Span(12, 18, 12, 19)),
        (("z",), False, Span(13, 4, 13, 6)),
    ],
)
def test_a_part_is_located(path: DocumentPath, at_key: bool, span: Span) -> None:
    """A path gives the span of its value or of its key: lines and columns from 1, the end exclusive."""
    assert read_text(LOCATED, name="m").span(path, at_key) == span


@pytest.mark.parametrize(
    ("path", "ancestor"),
    [
        (("nowhere",), ()),
        (("name", "below"), ("name",)),
        (("steps", 7), ("steps",)),
        (("steps", 0, "parameters", "path"), ("steps", 0)),
        (("steps", "0"), ("steps",)),
        (("z", "k"), ("z",)),
    ],
)
def test_what_is_not_written_is_located_at_its_nearest_ancestor(path: DocumentPath, ancestor: DocumentPath) -> None:
    """A path that the text does not hold has the span of its nearest written ancestor; an alias hides what it holds."""
    document = read_text(LOCATED, name="m")
    for at_key in (False, True):
        assert document.span(path, at_key) == document.span(ancestor, at_key)


def test_many_paths_are_located_together() -> None:
    """One call gives every path what it would have got alone."""
    document = read_text(LOCATED, name="m")
    paths: list[tuple[DocumentPath, bool]] = [
        (("steps", 1, "text"), True),
        (("nowhere",), False),
        ((), False),
        (("name",), False),
        (("name",), False),
    ]
    assert document.locate(paths) == {(path, at_key): document.span(path, at_key) for path, at_key in paths}
    assert document.locate([]) == {}


def test_lines_end_as_editors_end_them() -> None:
    """LF, CR LF and CR end a line; the line separators that only YAML 1.1 knows do not."""
    document = read_text('a: 1\r\nb: "x\u2028y\x85z"\nc: 3\rd: 4', name="m")
    assert [document.line(number) for number in range(6)] == ["", "a: 1", 'b: "x\u2028y\x85z"', "c: 3", "d: 4", ""]
    assert document.span(("d",)) == Span(4, 4, 4, 5)


# The parser without libyaml

WITHOUT_LIBYAML = """
import sys, warnings, yaml
del yaml.CSafeLoader
from rustchain_airflow.source import SourceError, read_text
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for text in sys.argv[1:]:
        try:
            print(read_text(text, name="m").value)
        except SourceError as error:
            print(*((fault.code, fault.span.line, fault.span.column) for fault in error.faults))
print(*(str(warning.message) for warning in caught), sep="|")
"""


def test_without_libyaml_the_same_is_read_and_said_once() -> None:
    """Where PyYAML has no libyaml, values and places are the same, and one warning says that it is slower."""
    texts = [
        "a: on\nb: [1, 0o17]",
        LOCATED,
        "a: b: c",
        "a:\n\t- b",
        "a: 1\na: 2",
        "a: [1",
        "a: 'x",
        "a: @x",
        "a: {{b.c}}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBYAML, *texts], capture_output=True, text=True, check=True, timeout=60
    )
    *read, warned = done.stdout.splitlines()
    assert read[:2] == [str(value(text)) for text in texts[:2]]
    assert read[2:] == [" ".join(map(str, faults(text))) for text in texts[2:]]
    assert warned == "PyYAML was built without libyaml: reading missions takes about ten times as long"
