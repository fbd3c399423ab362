"""How commands read mission files and show what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path

import click

from rustchain_airflow.check import Checked, check_file, check_text
from rustchain_airflow.diagnostics import Diagnostic, Severity, from_source_error, text
from rustchain_airflow.source import Fault, SourceError
from rustchain_airflow.source.limits import DEFAULT_LIMITS


class ExitCode(IntEnum):
    """What the program's end says (semantics §6.4)."""

    COMPLETED = 0
    FAILED = 1
    INVALID = 2
    REFUSED = 3
    CANCELLED = 130


def check_argument(path: str, *, strict: bool = False, variables: Iterable[str] = ()) -> Checked:
    """Check the mission a command was given: a file, or standard input for ``-``."""
    if path == "-":
        if sys.stdin is None:
            raise click.UsageError("standard input is closed")
        data = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
        if len(data) > DEFAULT_LIMITS.max_bytes:
            fault = Fault("RC020", f"there are more than {DEFAULT_LIMITS.max_bytes:,} bytes, which is the limit")
            return Checked(tuple(from_source_error(SourceError("<stdin>", [fault]))))
        is_json = data.lstrip()[:1] == b"{"
        return check_text(
            data, name="<stdin>", format="json" if is_json else "yaml", strict=strict, variables=variables
        )
    return check_file(path, strict=strict, variables=variables)


def mission_files(arguments: Sequence[str]) -> Iterator[str]:
    """The files that arguments name: a folder stands for the mission files in it, however deep.

    In a folder only files that look like missions count; a file that is named counts always.
    """
    for argument in arguments:
        path = Path(argument)
        if argument == "-" or not path.is_dir():
            yield argument
            continue
        from rustchain_airflow.codegen.discovery import missions_in

        found = [str(file) for file in missions_in(path)]
        if not found:
            raise no_missions_in(argument)
        yield from found


def no_missions_in(folder: str) -> click.UsageError:
    """What a command says of a folder without missions."""
    return click.UsageError(f"no mission files in {folder} (a .yaml, .yml or .json file with steps)")


def show(diagnostics: Sequence[Diagnostic], *, notes: bool = True) -> None:
    """Print findings on standard error, with a summary when there are several."""
    shown = [finding for finding in diagnostics if notes or finding.severity is not Severity.NOTE]
    if not shown:
        return
    click.echo(text.render(shown, color=sys.stderr.isatty()), nl=False, err=True)
    if len(shown) > 1:
        click.echo(f"\n{text.summary(shown)}", err=True)


def exit_code_for(diagnostics: Iterable[Diagnostic]) -> ExitCode:
    """The exit code of findings: refused by safety when nothing but safety speaks against the mission."""
    errors = [finding.code for finding in diagnostics if finding.severity is Severity.ERROR]
    if not errors:
        return ExitCode.COMPLETED
    return ExitCode.REFUSED if all(code.startswith("RC5") for code in errors) else ExitCode.INVALID
