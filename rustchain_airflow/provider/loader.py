"""Missions for deployments that cannot configure bundles: a few lines of Python beside them load them all."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, get_parsing_context

from rustchain_airflow.codegen.compile import Compiled, compile_folder, refuse_same_dag_id
from rustchain_airflow.codegen.discovery import dag_id_of, missions_in
from rustchain_airflow.diagnostics import text
from rustchain_airflow.provider.broken import placeholder

log = logging.getLogger("rustchain_airflow.loader")


def load_missions(namespace: MutableMapping[str, Any], folder: Path | None = None) -> None:
    """Give a DAG file (its ``globals()``) a DAG for every mission beside and below it.

    Never raises: Airflow keeps one import error a file, and would make every DAG of this one stale for it. A mission
    that is not valid is a DAG of its own id, tagged ``mission-error``, that says what is wrong.
    """
    file = Path(namespace["__file__"])
    folder = file.parent if folder is None else folder
    try:
        compiled = list(_wanted(folder))
    except Exception:
        log.exception("the missions of %s could not be loaded", folder)
        return
    for mission in compiled:
        dag = _dag(mission, folder, str(file))
        namespace[f"dag_{dag.dag_id}"] = dag


def _wanted(folder: Path) -> Iterator[Compiled]:
    """The missions this process needs: all of them, or the one whose task it runs."""
    requested = get_parsing_context().dag_id
    paths = list(missions_in(folder))
    if requested is not None:
        # The file that gives the DAG its name comes first; only a mission that names itself makes the others count.
        paths.sort(key=lambda path: dag_id_of(path, folder) != requested)
        for mission in compile_folder(folder, paths):
            if mission.dag_id == requested:
                yield mission
                return
        return
    missions = list(compile_folder(folder, paths))
    by_dag_id: dict[str, list[Path]] = defaultdict(list)
    for mission in missions:
        by_dag_id[mission.dag_id].append(mission.path)
    refused = list(refuse_same_dag_id(by_dag_id, folder))
    again = {mission.path for mission in refused}
    yield from (mission for mission in missions if mission.path not in again)
    yield from {mission.dag_id: mission for mission in refused}.values()


def _dag(mission: Compiled, folder: Path, file: str) -> DAG:
    name = mission.path.relative_to(folder).as_posix()
    findings = text.render(mission.diagnostics)
    if mission.source is not None:
        try:
            return _execute(mission.source, file)
        except Exception as error:
            log.exception("Airflow refuses the DAG of %s", name)
            _forget(mission.dag_id)
            findings = f"{name}: Airflow refuses its DAG: {type(error).__name__}: {error}"
    return placeholder(mission.dag_id, name, findings)


def _execute(source: str, file: str) -> DAG:
    """The DAG of a generated file, as if it stood in the loader's file: that is the one a worker imports again."""
    values: dict[str, Any] = {"__name__": "rustchain_airflow.mission_dag", "__file__": file}
    exec(compile(source, file, "exec"), values)  # our own compiler wrote it: mission text is nothing but literals in it
    dag = values["dag"]
    assert isinstance(dag, DAG)
    dag.validate()  # type: ignore[no-untyped-call]
    return dag


def _forget(dag_id: str) -> None:
    """Take back a DAG that Airflow registered when its ``with`` block was left, though by an error."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    for registered in [each for each in DagContext.autoregistered_dags if each[0].dag_id == dag_id]:
        DagContext.autoregistered_dags.discard(registered)
