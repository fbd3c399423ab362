"""Search the content of files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, ClassVar

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.file.glob import Glob, compile_glob
from rustchain_airflow.steps.sdk import Output, Parameters, ReadPath, StepContext, StepError, Workspace, step

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
    search = _searcher(parameters)
    matches: list[Match] = []
    files_searched = 0
    for path in _files(parameters, workspace):
        try:
            file = workspace.open(path)
        except StepError as error:
            if error.__cause__ is None or isinstance(error.__cause__, FileNotFoundError):
                # A pipe or a socket, or gone since the folder was listed.
                continue
            raise
        shown = None
        with file:
            blocks = _blocks(file)
            if blocks is None:
                continue
            files_searched += 1
            for line, text in search(blocks):
                if len(matches) == parameters.max_matches:
                    return _output(parameters, matches, files_searched, truncated=True)
                shown = shown or workspace.relative(path)
                matches.append(Match(path=shown, line=line, text=text))
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


def _files(parameters: FileSearchParameters, workspace: Workspace) -> Iterator[str]:
    start = workspace.entry(parameters.path)
    if start is not None and not start.is_dir:
        yield parameters.path
        return
    every_path = parameters.glob in ("**/*", "**")
    path_matches = compile_glob(parameters.glob).fullmatch
    name_matches = compile_glob(parameters.name_pattern or "*").fullmatch
    prefix = None
    for entry in workspace.walk(parameters.path):
        if prefix is None:
            # The first entry lies in the searched folder itself.
            prefix = len(entry.path) - len(entry.name)
        if entry.is_dir or entry.is_link or (parameters.name_pattern and not name_matches(entry.name)):
            continue
        if every_path or path_matches(entry.path[prefix:]):
            yield entry.path


def _blocks(file: BinaryIO) -> Iterator[bytes] | None:
    """The content in pieces that end at line ends; None for a binary file."""
    first = file.read(_BLOCK)
    if b"\0" in first[:_BINARY_PROBE]:
        return None
    return iter((first,)) if len(first) < _BLOCK else _cut_at_lines(first, file)


def _cut_at_lines(block: bytes, file: BinaryIO) -> Iterator[bytes]:
    while block:
        cut = block.rfind(b"\n") + 1 or len(block)
        yield block[:cut]
        block = block[cut:] + file.read(_BLOCK)


Search = Callable[[Iterator[bytes]], Iterator[tuple[int, str]]]


def _searcher(parameters: FileSearchParameters) -> Search:
    """Finds line numbers and lines. What need not be decoded to know that nothing is there is not."""
    pattern, flags = parameters.pattern, re.MULTILINE
    worth_decoding: Callable[[bytes], object] | None = None
    if parameters.ignore_case:
        flags |= re.IGNORECASE
    if not parameters.regex:
        if not parameters.ignore_case:
            needle = pattern.encode("utf-8", "surrogatepass")
            worth_decoding = lambda block: needle in block  # noqa: E731
        elif pattern.isascii():
            # With re.ASCII bytes and text agree; without it, "k" would also match the Kelvin sign.
            flags |= re.ASCII
            worth_decoding = re.compile(re.escape(pattern).encode(), re.IGNORECASE).search
        pattern = re.escape(pattern)
    find = re.compile(pattern, flags).search

    def search(blocks: Iterator[bytes]) -> Iterator[tuple[int, str]]:
        line = 1
        for block in blocks:
            if worth_decoding is None or worth_decoding(block):
                yield from _lines(block.decode("utf-8", "replace"), find, line)
            line += block.count(b"\n")

    return search


def _lines(text: str, find: Callable[[str, int], re.Match[str] | None], line: int) -> Iterator[tuple[int, str]]:
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
