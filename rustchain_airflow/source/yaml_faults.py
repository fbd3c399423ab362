"""What is wrong with a YAML text, in the words of the person who wrote it."""

from __future__ import annotations

import re
from typing import Final

from rustchain_airflow.source.builder import CLOSING, SHOWN, Complaint, shortened
from rustchain_airflow.source.spans import Lines

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INDENT_HELP: Final = "give it the indentation of the lines it belongs to"


def complaint_of(text: str, lines: Lines, problem: str, start: int, opened: int) -> Complaint:
    """What libyaml (or PyYAML's own parser) means by a problem, and where a person would look for it."""
    number, column = lines.position(start)
    line = lines.line(number)
    before, here, opening = line[: column - 1], text[start : start + 1], text[opened : opened + 1]
    opened_line, _ = lines.position(opened)
    if "mapping values are not allowed" in problem:
        return _stray_colon(lines, number, column, start)
    if "tab character" in problem or ("\t" in before + here and not (before + here).strip()):
        tab = start - len(before) + max((before + here).find("\t"), 0)
        return Complaint("a tab cannot indent", tab, "indent with spaces")
    if "cannot start any token" in problem:
        return Complaint(f'an unquoted value cannot start with "{here}"', start, _quote_help(lines, start))
    if "alphabetic or numeric" in problem:
        return Complaint(f'an unquoted value cannot start with "{opening}"', opened, _quote_help(lines, opened))
    if "end of stream" in problem or "unexpected document indicator" in problem:
        return Complaint("the quote that opens here is never closed", opened, f"close it with {opening}")
    if "escape" in problem or "hexdecimal" in problem:
        return Complaint(
            "this escape does not exist in double quotes",
            text.rfind("\\", 0, start + 1) if "\\" in text[: start + 1] else start,
            "write a backslash as \\\\, or use single quotes",
        )
    if "',' or" in problem:
        closing = CLOSING.get(opening, opening)
        if number > opened_line or not line[column - 1 :].strip():
            return Complaint(f'the "{opening}" that opens here is never closed', opened, f'close it with "{closing}"')
        help = "quote a value that holds brackets, braces or commas"
        return Complaint(f'expected "," or "{closing}" here', start, help)
    if "expected ':'" in problem:
        return Complaint('expected ":" after this key', opened, _INDENT_HELP, _rest(lines, opened))
    if "expected key" in problem or "expected <block end>" in problem or "expected '-' indicator" in problem:
        if before.strip():
            return Complaint("unexpected text after the value", start, "quote the whole value", _rest(lines, start))
        kind = "list" if opening == "-" else "mapping"
        message = f"this does not line up with the {kind} that starts on line {opened_line}"
        return Complaint(message, start, _INDENT_HELP, _rest(lines, start))
    if "sequence entries are not allowed" in problem:
        return Complaint("a list item cannot start here", start, "start it on a line of its own, or quote the value")
    if "node content" in problem:
        return Complaint(f'expected a value, not "{here}"' if here.strip() else "expected a value", start)
    if "document start" in problem:
        return Complaint("unexpected text after the end of the document", start, _INDENT_HELP, _rest(lines, start))
    if "comment or line break" in problem:
        help = "start the text on the next line, or quote the value"
        return Complaint(f'text cannot follow "{opening}" on its line', start, help, _rest(lines, start))
    if "directive" in problem:
        return Complaint('a line cannot start with "%"', opened, "quote the value, or indent it")
    if "undefined tag handle" in problem:
        return Complaint("this tag is not known here", opened, "remove the tag, or quote the value")
    return Complaint(problem.replace("did not find expected", "expected"), start)


def _stray_colon(lines: Lines, number: int, column: int, start: int) -> Complaint:
    line = lines.line(number)
    entry = re.match(r"(?P<key>\s*(?:- +)*[^\s:#'\"\[{][^:]*?:\s+)(?P<value>\S.*?)\s*$", line[: column - 1])
    if entry:
        value = entry["value"] + line[column - 1 :].rstrip()
        return Complaint(
            'an unquoted value cannot hold ": "', start, _quoting((entry["key"] + _quoted(value)).strip(), value)
        )
    key = start - len(line[: column - 1].lstrip())
    help = "give it the indentation of the keys it belongs to, or end the line above with a colon"
    return Complaint("a key cannot stand here: the value above it has not ended", key, help, start - key)


def _quote_help(lines: Lines, start: int) -> str:
    number, column = lines.position(start)
    value, _ = _unquoted_value(lines.line(number)[column - 1 :])
    return _quoting(_quoted(value), value)


def _rest(lines: Lines, start: int) -> int:
    number, column = lines.position(start)
    return max(len(lines.line(number).rstrip()) - column + 1, 1)


def control_character(text: str) -> Complaint:
    """The first character of a text that no YAML text may hold."""
    bad = _UNPRINTABLE.search(text)
    name = f"U+{ord(bad[0]):04X}" if bad else "that YAML does not admit"
    help = 'in double quotes it can be written as an escape, such as "\\x1b"'
    return Complaint(f"the control character {name} cannot stand in YAML", bad.start() if bad else 0, help)


def unquoted_reference(text: str, start: int) -> Complaint:
    """A value that starts with ``{{`` and lacks quotes, with the line as it should be."""
    # A line may be megabytes long and hold thousands of these, so only what stands around is looked at.
    before = re.split(r"[\r\n]", text[max(0, start - SHOWN) : start])[-1]
    value, rest = _unquoted_value(re.split(r"[\r\n]", text[start : start + 2 * SHOWN])[0])
    corrected = f"{before}{_quoted(value)}{rest}".strip()
    message = f'the reference "{shortened(value)}" is not quoted, so its braces are read as a mapping'
    return Complaint(message, start, _quoting(corrected, value), len(value))


def _unquoted_value(text: str) -> tuple[str, str]:
    """What was meant as one value, from its ``{{`` on, and what follows it on the line."""
    closing = text.find("}}")
    end = closing + 2 if closing >= 0 else len(text)
    if closing < 0 or not re.match(r"\s*[,\]}]", text[end:]):
        comment = re.search(r"\s+#", text[end:])
        end = end + comment.start() if comment else len(text.rstrip())
    return text[:end], text[end:]


def _quoting(corrected: str, value: str) -> str:
    """The help for a value that lacks quotes: the corrected line, or as much of it as fits."""
    fitting = next((text for text in (corrected, _quoted(value)) if len(text) < SHOWN), None)
    return f"quote it: {fitting}" if fitting else "quote the value"


def _quoted(text: str) -> str:
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"
