"""Diagnostics as people and programs see them: order, shape, alignment, and nothing raw from the mission's text."""

from __future__ import annotations

import json

import pytest

from rustchain_airflow.diagnostics import Diagnostic, Finding, Severity, from_source_error, place
from rustchain_airflow.diagnostics import json as json_printer
from rustchain_airflow.diagnostics.text import escaped, render, summary
from rustchain_airflow.source import SourceError, Span, read_text

MISSION = """\
name: Robust
steps:
  - id: a
    step_type: noop
    depends_on: ["risky_opertion"]
    name: |
      one
"""


def diagnostic(line: str, start: int, end: int, *, end_line: int = 7, help: str | None = None) -> Diagnostic:
    """A finding on line 7 of a file, from one character to another, counted from 0."""
    return Diagnostic("RC101", Severity.ERROR, "m.yaml", Span(7, start + 1, end_line, end + 1), "fault", help, line)


def shown(line: str, start: int, end: int, *, end_line: int = 7) -> tuple[str, str]:
    """The source line and the carets under it, both after the margin."""
    _, _, source, carets = render([diagnostic(line, start, end, end_line=end_line)]).splitlines()
    assert (source[:3], carets[:3]) == ("7 |", "  |")
    return source[4:], carets[4:]


# Golden text

FINDINGS = [
    Finding("RC301", Severity.NOTE, ("steps", 0, "nowhere"), "the step has no nowhere"),
    Finding(
        "RC201",
        Severity.ERROR,
        ("steps", 0, "depends_on", 0),
        'step "a" depends on "risky_opertion", which this mission does not define',
        help='did you mean "risky_operation"?',
    ),
    Finding("RC102", Severity.WARNING, ("name",), "second by code", at_key=True),
    Finding("RC101", Severity.WARNING, ("name",), "first by code", help="one\n  two", at_key=True),
    Finding("RC302", Severity.NOTE, ("steps", 0, "name"), "the text goes on"),
]

GOLDEN = """\
robust.yaml:1:1: warning RC101 first by code
  |
1 | name: Robust
  | ^^^^
  = help: one
            two

robust.yaml:1:1: warning RC102 second by code
  |
1 | name: Robust
  | ^^^^

robust.yaml:3:5: note RC301 the step has no nowhere
  |
3 |   - id: a
  |     ^^^^^

robust.yaml:5:18: error RC201 step "a" depends on "risky_opertion", which this mission does not define
  |
5 |     depends_on: ["risky_opertion"]
  |                  ^^^^^^^^^^^^^^^^
  = help: did you mean "risky_operation"?

robust.yaml:6:11: note RC302 the text goes on
  |
6 |     name: |
  |           ^
"""


def test_findings_are_shown_in_the_order_of_the_text() -> None:
    """Findings stand by line, column and code, each with its line, carets and help."""
    assert render(place(read_text(MISSION, name="robust.yaml"), FINDINGS)) == GOLDEN


FAULTS = 'a: 1\n\nb:\n  - {{step.output.x}}\n  - x: "é" y\n'

FAULTS_SHOWN = """\
m.yaml:4:5: error RC011 the reference "{{step.output.x}}" is not quoted, so its braces are read as a mapping
  |
4 |   - {{step.output.x}}
  |     ^^^^^^^^^^^^^^^^^
  = help: quote it: - "{{step.output.x}}"

m.yaml:5:12: error RC001 unexpected text after the value
  |
5 |   - x: "é" y
  |            ^
  = help: quote the whole value
"""


def test_the_faults_of_a_text_are_shown_alike() -> None:
    """A text that cannot be read is shown as findings are."""
    with pytest.raises(SourceError) as caught:
        read_text(FAULTS, name="m.yaml")
    assert render(from_source_error(caught.value)) == FAULTS_SHOWN


def test_a_fault_of_the_whole_file_has_no_line() -> None:
    """Without a place there is the message and the help."""
    with pytest.raises(SourceError) as caught:
        read_text("a: 1\n".encode("utf-16"), name="m.yaml")
    assert render(from_source_error(caught.value)) == (
        "m.yaml: error RC022 the file is encoded in UTF-16, not UTF-8\n   = help: save it as UTF-8\n"
    )


def test_the_margin_grows_with_the_line_number() -> None:
    """Bars stand below each other whatever the number of the line."""
    text = "\n" * 119 + "key: value\n"
    document = read_text(text, name="m.yaml")
    assert render(place(document, [Finding("RC101", Severity.ERROR, ("key",), "fault", help="mend")])) == (
        "m.yaml:120:6: error RC101 fault\n"
        "    |\n"
        "120 | key: value\n"
        "    |      ^^^^^\n"
        "    = help: mend\n"
    )  # fmt: skip


# Alignment


@pytest.mark.parametrize(
    ("line", "start", "end", "source", "carets"),
    [
        ("abc def", 4, 7, "abc def", "    ^^^"),
        ("abc", 1, 1, "abc", " ^"),
        ("abc", 3, 3, "abc", "   ^"),
        ("abc", 9, 12, "abc", "   ^"),
        ("a\tb", 2, 3, "a   b", "    ^"),
        ("\t\tb", 2, 3, "        b", "        ^"),
        ("a\tb", 1, 2, "a   b", " ^^^"),
        ("日本: x", 4, 5, "日本: x", "      ^"),
        ("x: 日本", 3, 5, "x: 日本", "   ^^^^"),
        ("e\u0301: x", 4, 5, "e\u0301: x", "   ^"),
        ("\x1b[1m: x", 6, 7, "\\x1b[1m: x", "         ^"),
        ("x: \u202eb", 3, 5, "x: \\u202eb", "   ^^^^^^^"),
    ],
)
def test_carets_stand_under_what_they_mean(line: str, start: int, end: int, source: str, carets: str) -> None:
    """Carets are counted in terminal cells: tabs, wide, combining and escaped characters do not move them."""
    assert shown(line, start, end) == (source, carets)


def test_a_span_of_several_lines_is_underlined_to_the_end_of_its_first() -> None:
    """Only the first line is shown, and blanks at its end are not underlined."""
    assert shown("  - id: a  ", 4, 3, end_line=9) == ("  - id: a", "    ^^^^^")


WORDS = "word " * 400


@pytest.mark.parametrize("start", [0, 5, 60, 115, 120, 500, 1000, 1900, 1995])
def test_a_long_line_is_cut_around_its_span(start: int) -> None:
    """Of a long line at most 120 cells are shown, with what the carets mean under them and … where it is cut."""
    line = f"{WORDS[:start]}HERE{WORDS[start + 4 :]}".rstrip()
    source, carets = shown(line, start, start + 4)
    assert len(source) <= 120
    assert source[carets.index("^") : len(carets)] == "HERE"
    assert source.startswith("…") == (not line.startswith(source.rstrip("…")))
    assert source.endswith("…") == (not line.endswith(source.lstrip("…")))


def test_carets_end_where_a_long_line_is_cut() -> None:
    """A span longer than what is shown is underlined as far as it is shown."""
    source, carets = shown("k: " + "x" * 5000, 3, 5003)
    assert source == "k: " + "x" * 116 + "…"
    assert carets == " " * 3 + "^" * 116


def test_a_line_of_megabytes_is_cut_alike() -> None:
    """What is shown does not depend on how much is not."""
    line = "é\t日" * 1_000_000
    source, carets = shown(line, 1_500_000, 1_500_001)
    assert source.startswith("…")
    assert source.endswith("…")
    cells = source.replace("日", "日 ")
    assert len(cells) <= 120
    assert cells[carets.index("^") :].startswith("é")
    assert carets.count("^") == 1


# What the mission's text may not do


def test_nothing_of_the_mission_reaches_the_terminal_raw() -> None:
    """Control, format and bidirectional characters are shown as escapes in file, message, line and help."""
    evil = "\x1b[31m\x07\x9b\u202e\u2066\u200b\u2028\x00\r\ud800\U000e0001"
    text = render([Diagnostic("RC101", Severity.ERROR, evil, Span(1, 1, 1, 2), evil, evil, evil)])
    assert not set(evil) - set("[31m") & set(text)
    assert text.count("\\x1b[31m\\x07\\x9b\\u202e\\u2066\\u200b") == 4
    assert text.encode()


def test_text_of_any_language_is_shown_as_it_is() -> None:
    """Only what could mislead is escaped."""
    assert escaped("naïve 日本 שלום 😀 \\n") == "naïve 日本 שלום 😀 \\n"


def test_a_message_is_one_line() -> None:
    """A line break in a message is an escape; help may have several lines."""
    text = render([Diagnostic("RC101", Severity.ERROR, "m", None, "a\nb", "c\nd")])
    assert text == "m: error RC101 a\\nb\n   = help: c\n           d\n"


# Colour, summary, JSON


def test_colour_changes_nothing_but_colour() -> None:
    """With colour the text is the same, with ANSI codes around its parts; without, there is none."""
    diagnostics = place(read_text(MISSION, name="robust.yaml"), FINDINGS)
    colored = render(diagnostics, color=True)
    assert "\x1b[1;31merror RC201\x1b[0m" in colored
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[34m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;36m"):
        assert code in colored
        colored = colored.replace(code, "")
    assert colored == GOLDEN


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ([], "no findings"),
        (["error"], "1 error"),
        (["warning", "error", "error"], "2 errors, 1 warning"),
        (["note", "note", "warning"], "1 warning, 2 notes"),
    ],
)
def test_a_summary_counts_by_severity(severities: list[str], said: str) -> None:
    """What matters most is counted first; what there is none of is left out."""
    assert summary(Diagnostic("RC101", Severity(each), "m", None, "x") for each in severities) == said


def test_no_findings_are_no_text() -> None:
    """Nothing to say prints nothing."""
    assert render([]) == ""


def test_programs_get_the_same_as_json() -> None:
    """A list of objects with code, severity, place, message and help, nulls where there is no place."""
    diagnostics = [diagnostic("abc", 1, 3, help="mend"), Diagnostic("RC016", Severity.ERROR, "é", None, "gone")]
    rows = json_printer.rows(diagnostics)
    assert rows == [
        {
            "code": "RC101",
            "severity": "error",
            "file": "m.yaml",
            "line": 7,
            "column": 2,
            "end_line": 7,
            "end_column": 4,
            "message": "fault",
            "help": "mend",
        },
        {
            "code": "RC016",
            "severity": "error",
            "file": "é",
            "line": None,
            "column": None,
            "end_line": None,
            "end_column": None,
            "message": "gone",
            "help": None,
        },
    ]
    printed = json_printer.render(diagnostics)
    assert json.loads(printed) == rows
    assert printed.isascii()
