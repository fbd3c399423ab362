"""Mission in, DAG source or diagnostics out: what the command, the bundle and the loader share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rustchain_airflow import __version__, diagnostics
from rustchain_airflow.check import Checked, InvalidMission, check_document, check_file
from rustchain_airflow.codegen.airflow_dag import Uncompilable, generate
from rustchain_airflow.codegen.discovery import dag_id_of, missions_in
from rustchain_airflow.diagnostics import Diagnostic, Finding, Severity
from rustchain_airflow.source import Document, SourceError, read_file

NOT_FOR_AIRFLOW = "RC602"
"""An ``airflow:`` key whose value Airflow could not use."""

SAME_DAG_ID = "RC603"
"""Two missions that would be one DAG."""

FAULTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        NOT_FOR_AIRFLOW: (
            "unfit-for-airflow",
            "A value under `airflow:` is none that Airflow takes: a schedule that is no cron expression, preset or "
            "list of assets, a start date that is no date, a `dag_id` with a space in it. Or the mission is scheduled "
            "and has a required input without a default, so that no scheduled run could start. It still runs locally.",
        ),
        SAME_DAG_ID: (
            "same-dag-id",
            "Two missions of one folder would become one DAG, and Airflow would show whichever it read last. Neither "
            "is compiled until a file is renamed or one of them says `airflow: {dag_id: ...}`.",
        ),
    }
)
"""Code to (slug, what it means): what only compiling finds. The slug completes "allow …"."""


COMPILER_FAULT = "RC699"
"""A fault of the compiler: no other mission may suffer for it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One mission of a folder: the DAG it became, or why it did not become one."""

    path: Path
    dag_id: str
    source: str | None
    diagnostics: tuple[Diagnostic, ...]


def compile_mission(path: str | Path, *, dag_id: str | None = None, strict: bool = False) -> str:
    """The source text of a mission file's DAG. Raises InvalidMission with all that speaks against it.

    ``dag_id`` is the mission's own where it gives one, else this one, else made of the file's name (semantics §10.3).
    """
    path = Path(path)
    return compile_checked(check_file(path, strict=strict), dag_id=dag_id or dag_id_of(path, path.parent))


def compile_checked(checked: Checked, *, dag_id: str) -> str:
    """The same, of a mission that has been checked."""
    plan = checked.require_plan()
    try:
        return generate(plan, dag_id=_own_dag_id(plan.airflow) or dag_id, version=__version__)
    except Uncompilable as error:
        finding = Finding(NOT_FOR_AIRFLOW, Severity.ERROR, error.path, error.message, error.help)
        raise InvalidMission(_placed(checked.document, [finding])) from error


def compile_folder(folder: Path, paths: Iterable[Path] | None = None, *, strict: bool = False) -> Iterator[Compiled]:
    """Every mission of a folder, or those of ``paths``; one that does not compile is in nobody's way.

    Diagnostics name files relative to the folder. Two missions with one dag_id: see `refuse_same_dag_id`.
    """
    for path in missions_in(folder) if paths is None else paths:
        try:
            compiled = _compiled(path, folder, strict=strict)
        except Exception as error:
            name = path.relative_to(folder).as_posix()
            message = f"the compiler itself failed: {type(error).__name__}: {error}"
            finding = Diagnostic(COMPILER_FAULT, Severity.ERROR, name, None, message, "please report this")
            compiled = Compiled(path, dag_id_of(path, folder), None, (finding,))
        yield compiled


def refuse_same_dag_id(paths: Mapping[str, Iterable[Path]], folder: Path) -> Iterator[Compiled]:
    """The files of each dag_id that several have, each with an error that names them all (semantics §10.3)."""
    for dag_id, files in paths.items():
        names = sorted(path.relative_to(folder).as_posix() for path in files)
        if len(names) < 2:
            continue
        message = f'several missions have the dag_id "{dag_id}": {", ".join(names)}'
        for name in names:
            finding = Diagnostic(
                SAME_DAG_ID, Severity.ERROR, name, None, message, "rename a file, or give one `airflow: {dag_id: ...}`"
            )
            yield Compiled(folder / name, dag_id, None, (finding,))


def _compiled(path: Path, folder: Path, *, strict: bool = False) -> Compiled:
    dag_id, name = dag_id_of(path, folder), path.relative_to(folder).as_posix()
    try:
        checked = check_document(replace(read_file(path), name=name), strict=strict)
    except SourceError as error:
        return Compiled(
            path, dag_id, None, tuple(diagnostics.from_source_error(SourceError(name, error.faults, error.text)))
        )
    if checked.plan is None:
        return Compiled(path, dag_id, None, checked.diagnostics)
    try:
        source = compile_checked(checked, dag_id=dag_id)
    except InvalidMission as invalid:
        return Compiled(path, dag_id, None, invalid.diagnostics)
    return Compiled(path, _own_dag_id(checked.plan.airflow) or dag_id, source, checked.diagnostics)


def _own_dag_id(airflow: Mapping[str, object]) -> str | None:
    """The dag_id a mission gives itself. Raises Uncompilable for one that Airflow refuses."""
    dag_id = airflow.get("dag_id")
    if dag_id is None:
        return None
    if not isinstance(dag_id, str) or not _DAG_ID.fullmatch(dag_id):
        raise Uncompilable(
            ("airflow", "dag_id"), "dag_id under airflow: must be 1 to 250 letters, digits, dots, dashes or underscores"
        )
    return dag_id


_DAG_ID = re.compile(r"[A-Za-z0-9_.-]{1,250}")


def _placed(document: Document | None, findings: list[Finding]) -> list[Diagnostic]:
    if document is not None:
        return diagnostics.place(document, findings)
    return [Diagnostic(each.code, each.severity, "mission", None, each.message, each.help) for each in findings]
