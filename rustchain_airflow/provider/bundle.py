"""A DAG bundle of missions: Airflow finds the missions of a folder without a Python file beside them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing.bundles.base import BaseDagBundle

from rustchain_airflow import __version__
from rustchain_airflow.codegen.compile import Compiled, compile_folder, refuse_same_dag_id
from rustchain_airflow.codegen.discovery import candidates_in, looks_like_mission
from rustchain_airflow.codegen.pysource import Call, docstring, one_line, statement
from rustchain_airflow.diagnostics import text

log = structlog.get_logger("rustchain_airflow.bundle")

_STAMPS = "stamps.json"


class MissionDagBundle(BaseDagBundle):
    """Compiles each mission of a folder to one DAG file, in the bundle's own storage.

    ``path`` is the folder; the dags folder itself may be it. A refresh writes what changed and nothing else, so that
    unchanged files keep their time and Airflow does not parse them again. A mission that does not compile becomes that
    file's import error and is in nobody's way. Not versioned, as a folder is not: workers compile for themselves.

    ``[dag_processor] dag_bundle_config_list`` takes one entry::

        {"name": "missions", "classpath": "rustchain_airflow.provider.bundle.MissionDagBundle",
         "kwargs": {"path": "/opt/missions", "refresh_interval": 10}}
    """

    supports_versioning = False

    def __init__(self, *, path: str | os.PathLike[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = Path(path).expanduser().absolute()

    @property
    def path(self) -> Path:
        """Where the compiled files are."""
        return self.base_dir / "compiled"

    def initialize(self) -> None:
        """Compile, then be ready. Safe to call from many processes."""
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Bring the compiled files up to date with the missions."""
        with self.lock():
            self._refresh()

    def get_current_version(self) -> None:
        """A folder has no versions."""
        return

    def _refresh(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.source.is_dir():
            log.warning("the missions folder is not there; its DAGs stay as they are", path=str(self.source))
            return
        stamps, known = {}, self._read_stamps()
        by_dag_id: dict[str, list[Path]] = defaultdict(list)
        present, changed = set(), []
        for path in candidates_in(self.source):
            name, signature = path.relative_to(self.source).as_posix(), _signature(path)
            stamp = known.get(name)
            if stamp is None or stamp["signature"] != signature or not self._is_there(name, stamp):
                stamp = {"signature": signature, "dag_id": None}
                if looks_like_mission(path):
                    (compiled,) = compile_folder(self.source, [path])
                    stamp["dag_id"] = compiled.dag_id
                    changed.append(compiled)
            stamps[name] = stamp
            if stamp["dag_id"] is not None:
                present.add(self._target(name))
                by_dag_id[stamp["dag_id"]].append(path)
        refused = {compiled.path: compiled for compiled in refuse_same_dag_id(by_dag_id, self.source)}
        for path in refused:
            del stamps[path.relative_to(self.source).as_posix()]  # compiled anew as soon as the other one is gone
        for compiled in [*(each for each in changed if each.path not in refused), *refused.values()]:
            self._write(compiled)
        self._remove_orphans(present)
        if stamps != known:
            _replace(self.base_dir / _STAMPS, json.dumps({"compiler": __version__, "files": stamps}))

    def _target(self, name: str) -> Path:
        return self.path / f"{name}.py"

    def _is_there(self, name: str, stamp: dict[str, Any]) -> bool:
        return stamp["dag_id"] is None or self._target(name).is_file()

    def _read_stamps(self) -> dict[str, dict[str, Any]]:
        """What was compiled from which file, by the compiler that runs now."""
        try:
            stamps = json.loads((self.base_dir / _STAMPS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if stamps.get("compiler") != __version__:
            return {}
        files: dict[str, dict[str, Any]] = stamps["files"]
        return files

    def _write(self, compiled: Compiled) -> None:
        name = compiled.path.relative_to(self.source).as_posix()
        source = compiled.source or broken_source(compiled, name)
        target = self._target(name)
        with contextlib.suppress(OSError, ValueError):
            if target.read_text(encoding="utf-8") == source:
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, source)

    def _remove_orphans(self, present: set[Path]) -> None:
        for folder, _, names in os.walk(self.path, topdown=False):
            for name in names:
                if (path := Path(folder, name)) not in present and path.suffix == ".py":
                    path.unlink()
            with contextlib.suppress(OSError):
                if Path(folder) != self.path:
                    Path(folder).rmdir()


def broken_source(compiled: Compiled, name: str) -> str:
    """A file that Airflow shows as an import error: what is wrong with the mission, with line and column."""
    raised = Call("InvalidMission", [text.render(compiled.diagnostics)])
    return (
        docstring([f"{one_line(name)} is not a valid mission, so there is no Airflow DAG."])
        + "\n\nfrom rustchain_airflow.provider.broken import InvalidMission\n\n"
        + statement("raise ", raised)
        + "\n"
    )


def _signature(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def _replace(path: Path, content: str) -> None:
    """Write a file that appears whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
