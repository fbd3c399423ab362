"""``compile``: missions to Airflow DAG files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath

import click

from rustchain_airflow.check import InvalidMission
from rustchain_airflow.cli.findings import ExitCode, check_argument, exit_code_for, no_missions_in, show
from rustchain_airflow.codegen.airflow_dag import COMPILED_BY
from rustchain_airflow.codegen.compile import Compiled, compile_checked, compile_folder, refuse_same_dag_id
from rustchain_airflow.codegen.discovery import dag_id_of
from rustchain_airflow.diagnostics import Diagnostic, Severity


@click.command("compile")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Where to write DAG files.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; fail when a DAG file is missing or differs.")
@click.option("--strict", is_flag=True, help="Unknown keys and parameters are errors.")
def command(paths: tuple[str, ...], output_dir: Path | None, check_only: bool, strict: bool) -> int:
    """Compile missions to Airflow DAG files.

    \b
      rustchain-airflow compile mission.yaml
      rustchain-airflow compile missions/ -o dags/

    PATH is a file, a folder, or - for standard input. One mission without -o is printed. Files appear whole or not at
    all, only those that changed are written, and no file is replaced that the compiler did not write. If any mission
    has an error, nothing is written. With --check, a missing or different file is exit code 1.
    """
    each_once = {
        (each.dag_id, os.path.realpath(each.path)): each for path in paths for each in _compiled(path, strict=strict)
    }
    compiled = list(each_once.values())
    by_dag_id: dict[str, list[Path]] = {}
    for each in compiled:
        if each.source is not None:
            by_dag_id.setdefault(each.dag_id, []).append(each.path)
    findings: list[Diagnostic] = [finding for each in compiled for finding in each.diagnostics]
    for refused in refuse_same_dag_id(by_dag_id, Path(os.path.commonpath([each.path.parent for each in compiled]))):
        findings.extend(refused.diagnostics)
    show(findings, notes=False)
    if any(finding.severity is Severity.ERROR for finding in findings):
        return int(exit_code_for(findings))
    sources = [(each.dag_id, each.source) for each in compiled if each.source is not None]
    if output_dir is None:
        if check_only or len(sources) != 1:
            raise click.UsageError("say with -o where the DAG files are")
        click.echo(sources[0][1], nl=False)
        return int(ExitCode.COMPLETED)
    return _compare(sources, output_dir) if check_only else _write(sources, output_dir)


def _compiled(argument: str, *, strict: bool) -> list[Compiled]:
    path = Path(argument)
    if argument != "-" and path.is_dir():
        found = list(compile_folder(path.resolve(), strict=strict))
        if not found:
            raise no_missions_in(argument)
        return found
    checked = check_argument(argument, strict=strict)
    dag_id = "mission" if argument == "-" else dag_id_of(path, path.parent)
    try:
        source = compile_checked(checked, dag_id=dag_id)
    except InvalidMission as invalid:
        return [Compiled(path.absolute(), dag_id, None, invalid.diagnostics)]
    own = checked.plan.airflow.get("dag_id") if checked.plan else None
    return [Compiled(path.absolute(), own or dag_id, source, checked.diagnostics)]


def _target(dag_id: str, output_dir: Path) -> Path:
    return output_dir / PurePath(f"{dag_id}.py")


def _compare(sources: Sequence[tuple[str, str]], output_dir: Path) -> int:
    drifted = False
    for dag_id, source in sources:
        target = _target(dag_id, output_dir)
        found = _read(target)
        if found != source:
            drifted = True
            click.echo(f"{'missing' if found is None else 'differs'}: {target}")
    if drifted:
        click.echo("run the same command without --check", err=True)
        return int(ExitCode.FAILED)
    click.echo(f"{len(sources)} DAG file{'s' if len(sources) != 1 else ''} up to date")
    return int(ExitCode.COMPLETED)


def _write(sources: Sequence[tuple[str, str]], output_dir: Path) -> int:
    targets = [(_target(dag_id, output_dir), source) for dag_id, source in sources]
    for target, _ in targets:
        if (found := _read(target)) is not None and COMPILED_BY not in found:
            raise click.UsageError(f"{target} was not written by this compiler; move it away or choose another folder")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        for target, source in targets:
            if _read(target) == source:
                click.echo(f"unchanged: {target}")
            else:
                _replace(target, source)
                click.echo(f"written: {target}")
    except OSError as error:
        raise click.UsageError(f"cannot write {error.filename or output_dir}: {error.strerror}") from None
    return int(ExitCode.COMPLETED)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(
            f"{path} was not written by this compiler; move it away or choose another folder"
        ) from None


def _replace(target: Path, source: str) -> None:
    """Write beside the target and rename, so that Airflow never sees half a file."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(source)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
