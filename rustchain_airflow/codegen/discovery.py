"""Which files of a folder are missions, and the dag_id each gets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

SUFFIXES = (".yaml", ".yml", ".json")

IGNORE_FILE = ".airflowignore"

_STEPS_KEY = re.compile(rb'^(?:\xef\xbb\xbf)?(?:steps|"steps"|\'steps\')\s*:|[{,]\s*"steps"\s*:', re.MULTILINE)
_MISSION_WORD = b"step_type"
_LOOKED_AT = 4 * 1024 * 1024


def missions_in(folder: Path) -> Iterator[Path]:
    """The mission files below a folder in a stable order; ``.airflowignore`` is honoured.

    A ``.yaml``, ``.yml`` or ``.json`` file counts when its root has ``steps``, or when it mentions
    ``step_type`` (a mission that does not parse has to be reported, not overlooked).
    """
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        ignored = _ignored(folder, here)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not ignored(here / name, folder=True)
        )
        for name in sorted(names):
            path = here / name
            if path.suffix in SUFFIXES and not name.startswith(".") and not ignored(path) and looks_like_mission(path):
                yield path


def looks_like_mission(path: Path) -> bool:
    """Whether a file holds a mission, judged by its text alone, cheaply."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT)
    except OSError:
        return False
    return _MISSION_WORD in text or _STEPS_KEY.search(text) is not None


def dag_id_of(path: Path, folder: Path) -> str:
    """The path below the folder without suffix, ``/`` as ``.``, other characters Airflow refuses as ``_`` (§10.3)."""
    return dag_id_from(PurePath(os.path.relpath(path, folder)))


def dag_id_from(relative: PurePath) -> str:
    return re.sub(r"[^\w.-]", "_", ".".join(relative.with_suffix("").parts), flags=re.ASCII)


class _Ignored:
    """The patterns of the ignore files between a folder and one of its descendants."""

    def __init__(self, specs: list[tuple[Path, object]]) -> None:
        self._specs = specs

    def __call__(self, path: Path, *, folder: bool = False) -> bool:
        for base, spec in self._specs:
            relative = path.relative_to(base).as_posix() + ("/" if folder else "")
            if spec.match_file(relative):  # type: ignore[attr-defined]
                return True
        return False


def _ignored(root: Path, here: Path) -> _Ignored:
    specs: list[tuple[Path, object]] = []
    for folder in [here, *here.parents][: len(here.relative_to(root).parts) + 1]:
        file = folder / IGNORE_FILE
        if file.is_file():
            from pathspec import GitIgnoreSpec

            specs.append((folder, GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8").splitlines())))
    return _Ignored(specs)
