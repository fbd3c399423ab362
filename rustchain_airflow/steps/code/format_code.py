"""The step type format_code."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field

from rustchain_airflow.steps.code import toolchain
from rustchain_airflow.steps.code.languages import Language, detect, sources
from rustchain_airflow.steps.code.toolchain import Tool, find, first_fault, folder_of, run
from rustchain_airflow.steps.sdk import (
    Output,
    Parameters,
    RunsAs,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    step,
)

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Largest file that is formatted; formatters hold the whole of it many times over."""


@dataclass(frozen=True, slots=True)
class _Formatter:
    """A program that reads source text and writes it formatted."""

    tool: Tool
    arguments: Callable[[str], list[str]]
    """For a file's absolute path, by which the tool finds its configuration."""
    languages: tuple[Language, ...]


_FORMATTERS = {
    "ruff": _Formatter(
        toolchain.RUFF, lambda file: ["format", "--no-cache", "--stdin-filename", file, "-"], (Language.PYTHON,)
    ),
    "black": _Formatter(toolchain.BLACK, lambda file: ["--quiet", "--stdin-filename", file, "-"], (Language.PYTHON,)),
    "rustfmt": _Formatter(toolchain.RUSTFMT, lambda _file: ["--emit", "stdout", "--quiet"], (Language.RUST,)),
    "gofmt": _Formatter(toolchain.GOFMT, lambda _file: [], (Language.GO,)),
    "clang-format": _Formatter(
        toolchain.CLANG_FORMAT,
        lambda file: [f"--assume-filename={file}"],
        (Language.C, Language.CPP, Language.JAVA),
    ),
    "prettier": _Formatter(
        toolchain.PRETTIER,
        lambda file: ["--stdin-filepath", file],
        (Language.JAVASCRIPT, Language.TYPESCRIPT),
    ),
}


class FormatCodeParameters(Parameters):
    """What to format, and by what."""

    path: WritePath | list[WritePath] = Field(description="A file, a list of files, or a folder with all below it.")
    language: str | None = Field(
        None,
        description="python, rust, go, c, cpp, java, javascript or typescript; told from the suffixes when left out.",
    )
    check: bool = Field(False, description="Change nothing; fail, with the differences, where a file is not formatted.")
    tool: str | None = Field(
        None, description="ruff, black, rustfmt, gofmt, clang-format or prettier; default: the language's first."
    )


class FormatCodeOutput(Output):
    """Which files were changed, or would be."""

    main: ClassVar[str | None] = "changed_files"

    language: str
    tool: str
    changed_files: list[str] = Field(description="Files that were changed; with check, those that would be.")
    formatted: bool = Field(description="Whether every file is formatted now.")
    diff: str | None = Field(description="With check: what would change, as a unified diff.")


@step(runs_as=RunsAs.COMMAND, idempotent=True)
def format_code(parameters: FormatCodeParameters, context: StepContext) -> FormatCodeOutput:
    """Format source files with the usual formatter of their language.

    python: ruff (or black); rust: rustfmt; go: gofmt; c, cpp, java: clang-format; javascript,
    typescript: prettier, the project's own before the one on the PATH. Each reads its configuration
    where it always does; rustfmt takes edition 2021 where none says otherwise. Hidden folders, `target`,
    `node_modules` and virtual environments are left alone.

    All files are formatted in memory first, and then each is replaced whole: where one cannot be
    formatted, the step fails and no file is changed. With `check` nothing is written, and the step
    fails where a file is not formatted, with the names and the diff in its output.
    """
    paths = [parameters.path] if isinstance(parameters.path, str) else list(parameters.path)
    if not paths:
        raise StepRefused("path names no file")
    known = tuple(dict.fromkeys(language for each in _FORMATTERS.values() for language in each.languages))
    language = detect(context, paths, parameters.language, known)
    name, formatter = _choose(parameters.tool, language)
    program = find(context, formatter.tool, project=folder_of(context, paths[0]))
    changes: dict[str, tuple[str, str]] = {}
    for file in sources(context, paths, _together(language)):
        before = _read(context, file)
        arguments = formatter.arguments(str(context.workspace.locate(file)))
        after = _formatted(context, name, [program, *arguments], file, before)
        if after != before:
            changes[file] = (before, after)
    output = FormatCodeOutput(
        language=language,
        tool=name,
        changed_files=[context.workspace.relative(file) for file in changes],
        formatted=not (changes and parameters.check),
        diff="".join(_diff(context.workspace.relative(file), *texts) for file, texts in changes.items())
        if parameters.check
        else None,
    )
    if not parameters.check:
        for file, (_before, after) in changes.items():
            with context.workspace.write(file) as opened:
                opened.write(after.encode())
    elif changes:
        raise StepError(
            f"{len(changes)} {'file is' if len(changes) == 1 else 'files are'} not formatted: "
            + ", ".join(output.changed_files[:5])
            + (" …" if len(changes) > 5 else ""),
            output=output,
        )
    return output


def _choose(tool: str | None, language: Language) -> tuple[str, _Formatter]:
    if tool is None:
        return next((name, each) for name, each in _FORMATTERS.items() if language in each.languages)
    formatter = _FORMATTERS.get(tool.strip().lower())
    if formatter is None:
        raise StepRefused(f'formatter "{tool}" is not supported; known are {", ".join(_FORMATTERS)}')
    if language not in formatter.languages:
        raise StepRefused(f"{tool} does not format {language}; it formats {', '.join(formatter.languages)}")
    return tool.strip().lower(), formatter


def _together(language: Language) -> tuple[Language, ...]:
    """The languages whose files a project of this one has in common with it, and its formatter takes too."""
    if language is Language.CPP:
        return (Language.CPP, Language.C)
    if language is Language.TYPESCRIPT:
        return (Language.TYPESCRIPT, Language.JAVASCRIPT)
    return (language,)


def _read(context: StepContext, file: str) -> str:
    content = context.workspace.read(file, max_bytes=MAX_FILE_BYTES)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise StepError(f"{file} is not UTF-8 text (byte {error.start}); convert it first") from error


def _formatted(context: StepContext, name: str, command: list[str], file: str, text: str) -> str:
    options = _rust_edition(context, file) if name == "rustfmt" else []
    result = run(context, [*command, *options], working_dir=str(PurePosixPath(file).parent), stdin=text)
    if result.exit_code or (text.strip() and not result.stdout.strip()):
        raise StepError(f"{name} cannot format {context.workspace.relative(file)}: {first_fault(result)}")
    return result.stdout


def _rust_edition(context: StepContext, file: str) -> list[str]:
    """The edition of the nearest Cargo.toml: text from standard input has no package that rustfmt could ask."""
    folder = PurePosixPath(file).parent
    for candidate in (str(folder), *toolchain.upwards(str(folder))):
        if context.workspace.entry(f"{candidate}/rustfmt.toml") is not None:
            return []
        if context.workspace.entry(f"{candidate}/Cargo.toml") is not None:
            text = _read(context, f"{candidate}/Cargo.toml")
            try:
                edition = tomllib.loads(text).get("package", {}).get("edition", "2021")
            except tomllib.TOMLDecodeError as error:
                raise StepError(f"{candidate}/Cargo.toml is not valid TOML: {error}") from error
            return ["--edition", edition if isinstance(edition, str) else "2021"]
    return ["--edition", "2021"]


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
