"""Which files of a folder are missions, and what their DAGs are called."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SUFFIXES = (".yaml", ".yml", ".json")

IGNORE_FILE = ".airflowignore"

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 250
_LOOKED_AT = 8 * 1024 * 1024
"""Bytes of a file that are looked at: enough to know what it is, whatever its size."""


def missions_in(folder: Path) -> Iterator[Path]:
    """The mission files of a folder, however deep, in the order of their paths."""
    return filter(looks_like_mission, candidates_in(folder))


def candidates_in(folder: Path) -> Iterator[Path]:
    """The files whose names could be a mission's. Hidden folders are passed by, links to folders not followed.

    ``.airflowignore`` files are honoured, one pattern a line as in ``.gitignore``: each speaks for its own folder.
    """
    return _walk(folder, [])


def _walk(folder: Path, ignored: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[Path]:
    ignored = [*ignored, *_ignore_file(folder)]
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if _is_ignored(path, is_folder, ignored):
            continue
        if is_folder:
            if not entry.name.startswith(".") and entry.name != "__pycache__":
                yield from _walk(path, ignored)
        elif path.suffix.lower() in SUFFIXES and entry.is_file():
            yield path


def looks_like_mission(path: Path) -> bool:
    """A mapping with ``steps`` at its root; a file that does not parse counts where it mentions ``step_type``."""
    try:
        with path.open("rb") as file:
            data = file.read(_LOOKED_AT)
    except OSError:
        return False
    if b"steps" not in data:
        return False
    try:
        text = data.decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            value = json.loads(text)
            return isinstance(value, dict) and "steps" in value
        return any(key == "steps" for key in _root_keys(text))
    except (ValueError, RecursionError, yaml.YAMLError):
        return b"step_type" in data


def _root_keys(text: str) -> Iterator[str]:
    """The keys of the mapping at the root, from the parser's events: nothing is built, no alias is followed."""
    depth, at_key = 0, True
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if depth == 0 and isinstance(event, yaml.SequenceStartEvent):
                return
            depth += 1
            at_key = at_key or depth == 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
            at_key = depth == 1
        elif depth == 1:
            if at_key and isinstance(event, yaml.ScalarEvent):
                yield event.value
            at_key = not at_key


def dag_id_of(path: Path, folder: Path) -> str:
    """The file's path below its folder without suffix, ``/`` as ``.`` (semantics §10.3).

    Characters that Airflow refuses become ``_``.
    """
    relative = PurePosixPath(path.relative_to(folder).as_posix()).with_suffix("")
    name = ".".join(relative.parts).removesuffix(".mission")
    return _UNFIT.sub("_", name)[:_LONGEST] or "mission"


def _ignore_file(folder: Path) -> list[tuple[Path, GitIgnoreSpec]]:
    """The patterns of a folder's ignore file, if it has one."""
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    from pathspec import GitIgnoreSpec

    return [(folder, GitIgnoreSpec.from_lines(lines))]


def _is_ignored(path: Path, is_folder: bool, specs: list[tuple[Path, GitIgnoreSpec]]) -> bool:
    """What the ignore files above a path say of it; a deeper one has the last word."""
    ignored = False
    for folder, spec in specs:
        verdict = spec.check_file(path.relative_to(folder).as_posix() + ("/" if is_folder else "")).include
        ignored = ignored if verdict is None else verdict
    return ignored
