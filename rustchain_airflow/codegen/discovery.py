"""Which files of a folder are missions, and what their DAGs are called."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path, PurePosixPath

import yaml

SUFFIXES = (".yaml", ".yml", ".json")

IGNORE_FILE = ".airflowignore"

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 250


def missions_in(folder: Path) -> Iterator[Path]:
    """The mission files of a folder, however deep, in the order of their paths."""
    return filter(looks_like_mission, candidates_in(folder))


def candidates_in(folder: Path) -> Iterator[Path]:
    """The files whose names could be a mission's. Hidden folders are passed by, links to folders not followed.

    ``.airflowignore`` files are honoured, one pattern a line as in ``.gitignore``: each speaks for its own folder.
    """
    return _walk(folder, [])


def _walk(folder: Path, ignored: list[tuple[Path, re.Pattern[str], bool]]) -> Iterator[Path]:
    ignored = [*ignored, *_patterns(folder)]
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
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return False
    if "steps" not in text:
        return False
    try:
        if path.suffix.lower() == ".json":
            value = json.loads(text)
            return isinstance(value, dict) and "steps" in value
        return any(key == "steps" for key in _root_keys(text))
    except (ValueError, RecursionError, yaml.YAMLError):
        return "step_type" in text


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


def _patterns(folder: Path) -> list[tuple[Path, re.Pattern[str], bool]]:
    """The patterns of a folder's ignore file: where they hold, what they match, whether they take a match back."""
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        is_negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        found.append((folder, re.compile(_glob(pattern)), is_negated))
    return found


def _glob(pattern: str) -> str:
    """A ``.gitignore`` pattern as an expression over a path below the folder, folders with ``/`` at the end."""
    anchored = "/" in pattern.rstrip("/")
    pieces = []
    for piece in pattern.strip("/").split("/"):
        pieces.append(".*" if piece == "**" else translate(piece).removesuffix(r"\Z").replace(".*", "[^/]*"))
    body = "/".join(pieces).replace(".*/", "(?:.*/)?")
    return ("" if anchored else "(?:.*/)?") + body + ("/.*" if pattern.endswith("/") else "(?:/.*)?") + r"\Z"


def _is_ignored(path: Path, is_folder: bool, patterns: list[tuple[Path, re.Pattern[str], bool]]) -> bool:
    ignored = False
    for folder, pattern, is_negated in patterns:
        text = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
        if pattern.match(text):
            ignored = not is_negated
    return ignored
