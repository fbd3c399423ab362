"""Search the content of files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.file.glob import Glob, compile_glob
from rustchain_airflow.steps.sdk import Output, Parameters, ReadPath, StepContext, Workspace, step

_BINARY_PROBE = 8 * 1024
"""Bytes at the start of a file in which a NUL says that it is not text."""

_BLOCK = 16 * 1024 * 1024
"""Bytes of a file that are searched at once; a larger file is cut at line ends."""

_LONGEST_TEXT = 1000
"""Characters of a line that are given back."""


class FileSearchParameters(Parameters):
    pattern: str = Field(min_length=1, description="Text to look for in the content, or a regular expression.")
    path: ReadPath = Field(".", description="The folder to search, with all below it; or one file.")
    regex: bool = Field(False, description="`pattern` is a regular expression; `^` and `$` match at each line.")
    glob: Glob = Field("**/*", description="Which files, by path below the folder: `src/**/*.py`.")
    name_pattern: Glob | None = Field(None, description="Which files, by name: `*.log`.")
    ignore_case: bool = Field(False, description="Upper and lower case are the same.")
    max_matches: int = Field(1000, ge=1, description="Stop after so many.")

    @model_validator(mode="after")
    def _compiles(self) -> FileSearchParameters:
        if self.regex:
            try:
                re.compile(self.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise PydanticCustomError(
                    "regex", "pattern is not a regular expression: {error}", {"error": str(error)}
                ) from None
        return self


class Match(BaseModel):
    """A line in which the pattern was found."""

    path: str = Field(description="The file, relative to the workspace.")
    line: int = Field(description="Line number, from 1.")
    text: str = Field(description="The line without its end; of a very long one, the part around the match.")


class FileSearchOutput(Output):
    main: ClassVar[str | None] = "matches"

    pattern: str
    matches: list[Match] = Field(description="By file in name order, then by line.")
    count: int
    files_searched: int = Field(description="Text files that were read.")
    truncated: bool = Field(description="There are more matches than max_matches.")


# Isolated: a regular expression can take any time, and a folder may hold any number of files.
@step(idempotent=True)
def file_search(parameters: FileSearchParameters, context: StepContext) -> FileSearchOutput:
    """Find lines by text or regular expression in all files of a folder and the folders below.

    Hidden files are searched too; links are not followed, and binary files (a NUL in the first 8 KiB) are skipped.
    Bytes that are not UTF-8 count as the replacement character. A line counts once, however often the pattern is in
    it; a match over several lines counts for the line it begins in.
    """
    workspace = context.workspace
    find, may_hold = _finder(parameters)
    matches: list[Match] = []
    files_searched = 0
    for path, handle, size in _files(parameters, workspace):
        line = 1
        for number, block in enumerate(_blocks(handle, size)):
            if number == 0:
                if block.find(0, 0, _BINARY_PROBE) >= 0:
                    break
                files_searched += 1
            if may_hold(block):
                for found, text in _lines(block.decode("utf-8", "replace"), find, line):
                    if len(matches) == parameters.max_matches:
                        return _output(parameters, matches, files_searched, truncated=True)
                    matches.append(Match(path=workspace.relative(path), line=found, text=text))
            if size >= _BLOCK:
                line += block.count(b"\n")
    return _output(parameters, matches, files_searched, truncated=False)


def _output(
    parameters: FileSearchParameters, matches: list[Match], files_searched: int, *, truncated: bool
) -> FileSearchOutput:
    return FileSearchOutput(
        pattern=parameters.pattern,
        matches=matches,
        count=len(matches),
        files_searched=files_searched,
        truncated=truncated,
    )


def _files(parameters: FileSearchParameters, workspace: Workspace) -> Iterator[tuple[str, int, int]]:
    """The files to search: path, descriptor and size."""
    start = workspace.entry(parameters.path)
    if start is not None and not start.is_dir:
        with workspace.open(parameters.path) as file:
            yield parameters.path, file.fileno(), start.size
        return
    path_matches = None if parameters.glob in ("**/*", "**") else compile_glob(parameters.glob).fullmatch
    name_matches = compile_glob(parameters.name_pattern).fullmatch if parameters.name_pattern else None

    def wanted(below: str) -> bool:
        return (path_matches is None or path_matches(below) is not None) and (
            name_matches is None or name_matches(below.rpartition("/")[2]) is not None
        )

    yield from workspace.open_below(parameters.path, wanted=wanted if path_matches or name_matches else None)


def _blocks(handle: int, size: int) -> Iterable[bytes]:
    """The content in pieces that end at line ends; one piece where the file is not very large."""
    # One read of a regular file gives all of it; a file that grows meanwhile is searched as it was.
    return (os.read(handle, size),) if size < _BLOCK else _cut_at_lines(handle)


def _cut_at_lines(handle: int) -> Iterator[bytes]:
    rest = b""
    while block := os.read(handle, _BLOCK):
        block = rest + block
        # A line longer than a block is searched in pieces.
        cut = block.rfind(b"\n") + 1 or len(block)
        yield block[:cut]
        rest = block[cut:]
    if rest:
        yield rest


Find = Callable[[str, int], re.Match[str] | None]


def _finder(parameters: FileSearchParameters) -> tuple[Find, Callable[[bytes], bool]]:
    """What finds the pattern in text, and a quick look at bytes that tells when it cannot be there."""
    pattern, flags = parameters.pattern, re.MULTILINE
    if parameters.ignore_case:
        flags |= re.IGNORECASE
    if parameters.regex:
        return re.compile(pattern, flags).search, lambda _: True
    expression = re.escape(pattern)
    if not parameters.ignore_case:
        # Only U+FFFD, which bad bytes become, may be in the text and not in the bytes.
        needle = pattern.encode("utf-8", "replace")
        if "\ufffd" not in pattern:
            return re.compile(expression, flags).search, lambda block: needle in block
    elif pattern.isascii():
        # With re.ASCII bytes and text agree; without it, "k" would also match the Kelvin sign.
        needle = pattern.lower().encode()
        return re.compile(expression, flags | re.ASCII).search, lambda block: needle in block.lower()
    return re.compile(expression, flags).search, lambda _: True


def _lines(text: str, find: Find, line: int) -> Iterator[tuple[int, str]]:
    if not text:
        return
    counted = position = 0
    # What follows the last line end is no line when it is empty.
    end = len(text) - 1 if text.endswith("\n") else len(text)
    while position <= end and (match := find(text, position)) and match.start() <= end:
        start = text.rfind("\n", 0, match.start()) + 1
        stop = text.find("\n", match.start())
        stop = len(text) if stop < 0 else stop
        line += text.count("\n", counted, start)
        counted = start
        if stop - start > _LONGEST_TEXT:
            start = max(start, min(match.start() - _LONGEST_TEXT // 4, stop - _LONGEST_TEXT))
            stop = min(stop, start + _LONGEST_TEXT)
        yield line, text[start:stop].removesuffix("\r")
        position = text.find("\n", match.start()) + 1 or len(text) + 1
