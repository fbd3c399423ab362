"""Change a file: its whole content, its end or start, or what matches in it."""

from __future__ import annotations

import re
import shutil
from itertools import count
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.file.encoding import BASE64, Encoding, to_bytes, to_text
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    StepContext,
    StepError,
    StepRefused,
    Workspace,
    WritePath,
    step,
)

LARGEST_FILE = 256 * 1024 * 1024
"""Bytes of a file in which text is found and replaced: all of it is held in memory."""


class EditFileParameters(Parameters):
    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("content", "find"),)

    path: Annotated[WritePath, Alias("file")] = Field(description="The file to change; it must be there.")
    content: str | None = Field(None, description="Text to put in place of the content, after it, or before it.")
    append: bool = Field(False, description="Put `content` after what is there.")
    operation: Literal["append", "replace", "overwrite", "prepend"] | None = Field(
        None, description="What to do with `content`; replace and overwrite both mean in place of what is there."
    )
    find: Annotated[str | None, Alias("old")] = Field(None, min_length=1, description="What to look for in the file.")
    replace: Annotated[str | None, Alias("new")] = Field(None, description="What to put in its place.")
    regex: bool = Field(
        False,
        description="`find` is a regular expression (`^` and `$` at each line), `replace` may use \\1 or \\g<name>.",
    )
    count: int = Field(0, ge=0, description="How many to replace, from the start; 0 for all.")
    backup: bool = Field(False, description="Keep the old content beside it as `<name>.bak`, `<name>.bak.1` and so on.")
    encoding: Encoding = Field("utf-8", description="Text encoding of the file.")

    @model_validator(mode="after")
    def _agrees(self) -> EditFileParameters:
        if self.append and self.operation not in (None, "append"):
            raise PydanticCustomError(
                "presence", "append: true and operation: {operation} contradict", {"operation": self.operation}
            )
        if self.find is None:
            if self.replace is not None or self.regex or self.count:
                raise PydanticCustomError("presence", "replace, regex and count need find")
            return self
        if self.replace is None:
            raise PydanticCustomError("presence", 'find needs replace (which may be "")')
        if self.append or self.operation in ("append", "prepend"):
            raise PydanticCustomError("presence", "find replaces; append and prepend go with content")
        if self.encoding == BASE64:
            raise PydanticCustomError("presence", "find needs a text encoding, not base64")
        if self.regex:
            try:
                re.compile(self.find)
            except (re.error, OverflowError, RecursionError) as error:
                raise PydanticCustomError(
                    "regex", "find is not a regular expression: {error}", {"error": str(error)}
                ) from None
        return self


class EditFileOutput(Output):
    main: ClassVar[str | None] = "path"

    path: str = Field(description="The file, relative to the workspace.")
    size: int = Field(description="Its size now, in bytes.")
    changed: bool = Field(description="Whether its content is other than before.")
    replacements: int = Field(description="How often `find` was replaced.")
    backup_path: str | None = Field(None, description="Where the old content is.")


# Isolated: a regular expression can take any time. Not idempotent: appending twice appends twice.
@step
def edit_file(parameters: EditFileParameters, context: StepContext) -> EditFileOutput:
    """Change a file that is there.

    With `content`, the text takes the place of all that is there, or goes after it (`append: true`) or before it
    (`operation: prepend`), exactly as written: no line break is added. With `find` and `replace`, each occurrence is
    replaced; a file in which nothing is found fails the step. A file that is missing fails it in every case;
    `create_file` makes one.

    The file changes as a whole or not at all, and keeps its permissions. Where the new content equals the old,
    nothing is written and no backup is made.
    """
    if parameters.find is None:
        return _put(parameters, context.workspace)
    return _find_and_replace(parameters, context.workspace)


def _put(parameters: EditFileParameters, workspace: Workspace) -> EditFileOutput:
    text = to_bytes(parameters.content or "", parameters.encoding)
    operation = "append" if parameters.append else parameters.operation or "replace"
    if operation not in ("append", "prepend"):
        return _write(parameters, workspace, text, replacements=0)
    with workspace.open(parameters.path) as old:
        if not text:
            return _outcome(parameters, workspace, changed=False)
        backup = _back_up(parameters, workspace)
        with workspace.write(parameters.path) as new:
            if operation == "prepend":
                new.write(text)
            shutil.copyfileobj(old, new, 1024 * 1024)
            if operation == "append":
                new.write(text)
    return _outcome(parameters, workspace, changed=True, backup=backup)


def _find_and_replace(parameters: EditFileParameters, workspace: Workspace) -> EditFileOutput:
    assert parameters.find is not None
    assert parameters.replace is not None
    shown = workspace.relative(parameters.path)
    old = to_text(workspace.read(parameters.path, max_bytes=LARGEST_FILE), parameters.encoding, path=shown)
    if parameters.regex:
        try:
            new, replacements = re.subn(
                parameters.find, parameters.replace, old, count=parameters.count, flags=re.MULTILINE
            )
        except (re.error, IndexError) as error:
            raise StepRefused(f"replace does not fit the regular expression: {error}") from None
    else:
        found = old.count(parameters.find)
        replacements = min(found, parameters.count) if parameters.count else found
        new = old.replace(parameters.find, parameters.replace, parameters.count or -1)
    if not replacements:
        raise StepError(
            f"nothing in {shown} matches {parameters.find!r}", output=_outcome(parameters, workspace, changed=False)
        )
    return _write(parameters, workspace, to_bytes(new, parameters.encoding), replacements=replacements)


def _write(
    parameters: EditFileParameters, workspace: Workspace, content: bytes, *, replacements: int
) -> EditFileOutput:
    with workspace.open(parameters.path) as old:
        changed = old.read(len(content) + 1) != content
    backup = None
    if changed:
        backup = _back_up(parameters, workspace)
        with workspace.write(parameters.path) as new:
            new.write(content)
    return _outcome(parameters, workspace, changed=changed, replacements=replacements, backup=backup)


def _back_up(parameters: EditFileParameters, workspace: Workspace) -> str | None:
    if not parameters.backup:
        return None
    entry = workspace.entry(parameters.path)
    for number in count():
        path = f"{parameters.path}.bak" + (f".{number}" if number else "")
        if workspace.entry(path) is not None:
            continue
        try:
            with (
                workspace.open(parameters.path) as old,
                workspace.write(path, mode=entry.mode if entry else None, overwrite=False) as copy,
            ):
                shutil.copyfileobj(old, copy, 1024 * 1024)
        except StepError as error:
            if isinstance(error.__cause__, FileExistsError):
                continue
            raise
        return workspace.relative(path)
    raise AssertionError("count() does not end")


def _outcome(
    parameters: EditFileParameters,
    workspace: Workspace,
    *,
    changed: bool,
    replacements: int = 0,
    backup: str | None = None,
) -> EditFileOutput:
    entry = workspace.entry(parameters.path)
    return EditFileOutput(
        path=workspace.relative(parameters.path),
        size=entry.size if entry else 0,
        changed=changed,
        replacements=replacements,
        backup_path=backup,
    )
