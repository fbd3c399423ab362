"""``run-local``: a mission on this machine, without Airflow."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rustchain_airflow.cli import given_environment
from rustchain_airflow.cli.findings import ExitCode, check_argument, exit_code_for, show
from rustchain_airflow.semantics import MissionStatus

if TYPE_CHECKING:
    from rustchain_airflow.local.executor import Execution
    from rustchain_airflow.local.reporter import Reporter

_EXIT_CODES = {
    MissionStatus.COMPLETED: ExitCode.COMPLETED,
    MissionStatus.FAILED: ExitCode.FAILED,
    MissionStatus.CANCELLED: ExitCode.CANCELLED,
}


@click.command("run-local")
@click.argument("mission")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    default=".",
    show_default=True,
    help="Folder that relative paths start in and that the mission may not leave.",
)
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A context variable; may be repeated.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False),
    help="NAME=VALUE lines, added to the environment of the steps.",
)
@click.option(
    "--connections",
    type=click.Path(exists=True, dir_okay=False),
    help="Connections in the YAML, JSON or env format of `airflow connections import`.",
)
@click.option("--max-concurrent", type=click.IntRange(min=1), help="Steps at a time; overrides the mission.")
@click.option("--dry-run", is_flag=True, help="Print the plan and run nothing.")
@click.option("--strict", is_flag=True, help="Unknown keys and parameters are errors.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    mission: str,
    workspace: str,
    variables: tuple[str, ...],
    env_file: str | None,
    connections: str | None,
    max_concurrent: int | None,
    dry_run: bool,
    strict: bool,
    output: str,
) -> int:
    """Run a mission on this machine.

    \b
      rustchain-airflow run-local mission.yaml
      rustchain-airflow run-local mission.yaml --workspace out --var customer=acme --output json

    MISSION is a file, or - for standard input. With --output json the MissionResult is all that standard output
    gets. Ctrl-C stops the running steps and skips the rest.
    """
    given = dict(_variable(written) for written in variables)
    checked = check_argument(mission, strict=strict, variables=given)
    if checked.plan is None:
        show(checked.diagnostics)
        return int(exit_code_for(checked.diagnostics))
    show(checked.diagnostics, notes=dry_run)
    if dry_run:
        from rustchain_airflow.cli import dry_run as printer

        click.echo(printer.render(checked.plan, output=output, max_concurrent_steps=max_concurrent))
        return int(ExitCode.COMPLETED)

    from rustchain_airflow.local.executor import Execution
    from rustchain_airflow.runtime.inputs import InvalidInputs

    environment = _environment(env_file)
    try:
        execution = Execution(
            checked.plan,
            workspace=workspace,
            variables=given,
            environment=environment,
            connections=_connections(connections, environment),
            max_concurrent_steps=max_concurrent,
            reporter=_reporter(output),
        )
    except InvalidInputs as error:
        raise click.UsageError("\n".join(error.faults)) from None
    gc.freeze()
    gc.enable()
    try:
        with _cancelled_by_signals(execution):
            result = execution.run()
    except OSError as error:
        raise click.UsageError(f"cannot use the workspace {workspace}: {error.strerror or error}") from None
    if output == "json":
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    return int(_EXIT_CODES[result.status])


def _variable(written: str) -> tuple[str, str]:
    name, separator, value = written.partition("=")
    if not separator or not name:
        raise click.UsageError(f"--var takes NAME=VALUE, not {written!r}")
    return name, value


def _environment(env_file: str | None) -> Mapping[str, str]:
    environment = given_environment()
    if env_file is not None:
        environment.update(_env_file(env_file))
    return environment


def _env_file(path: str) -> Mapping[str, str]:
    from dotenv.parser import parse_stream

    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"cannot read {path}: it is not encoded in UTF-8") from None
    if faulty := [str(line.original.line) for line in lines if line.error]:
        raise click.UsageError(f"{path}: not NAME=VALUE in line {', '.join(faulty)}")
    return {line.key: line.value or "" for line in lines if line.key is not None}


def _connections(file: str | None, environment: Mapping[str, str]) -> Any:
    from rustchain_airflow.runtime.connections import InvalidConnections, LocalConnections

    try:
        return LocalConnections(environment, Path(file) if file else None)
    except InvalidConnections as error:
        raise click.UsageError("\n".join(f"{error.file}: {fault}" for fault in error.faults)) from None


def _reporter(output: str) -> Reporter:
    from rustchain_airflow.diagnostics.text import escaped
    from rustchain_airflow.local.reporter import Lines, Silent

    if output == "json":
        return Silent()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from rustchain_airflow.cli.progress import Live

        return Live()
    return Lines(lambda line: click.echo(escaped(line)))


@contextmanager
def _cancelled_by_signals(execution: Execution) -> Iterator[None]:
    """SIGINT and SIGTERM cancel the mission; a second one ends this program as usual."""
    previous: dict[int, Any] = {}

    def cancel(*_: object) -> None:
        for each, handler in previous.items():
            signal.signal(each, handler)
        threading.Thread(target=execution.cancel, name="cancel").start()

    for each in (signal.SIGINT, signal.SIGTERM):
        previous[each] = signal.signal(each, cancel)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
