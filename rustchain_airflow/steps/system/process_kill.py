"""End a process that the mission started."""

from __future__ import annotations

import signal
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from rustchain_airflow.steps.sdk import Output, Parameters, StepContext, StepRefused, require, step
from rustchain_airflow.steps.system.registry import OwnedProcess, Registry, elsewhere, end, signal_named

_NOTED_SECONDS = 2.0


def _as_signal_name(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return signal.Signals(value).name
        except ValueError:
            return str(value)
    return value


class ProcessKillParameters(Parameters):
    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("pid", "name"),)

    pid: int | None = Field(None, ge=1, description="The pid that process_start gave.")
    name: str | None = Field(None, min_length=1, description="The name that process_start gave.")
    signal: Annotated[str, BeforeValidator(_as_signal_name, json_schema_input_type=str | int)] = Field(
        "TERM", description="First signal: TERM, INT, HUP, QUIT, KILL, ABRT, USR1 or USR2."
    )
    grace_seconds: float = Field(10, ge=0, description="Seconds to wait for its end before KILL.")
    tree: bool = Field(True, description="End all that the process has started as well.")


class ProcessKillOutput(Output):
    main: ClassVar[str | None] = "killed"

    pid: int = Field(description="The process.")
    killed: bool = Field(description="Whether this step ended it.")
    signal: str | None = Field(description="The last signal it needed; null when it had ended before.")
    exit_code: int | None = Field(description="How it ended, negative for a signal; null when nobody saw it.")
    already_gone: bool = Field(description="Whether it had ended before.")


@step(idempotent=True)
def process_kill(parameters: ProcessKillParameters, context: StepContext) -> ProcessKillOutput:
    """End a process that this run of the mission started with ``process_start``, with all it started itself.

    The signal goes to the process and its descendants; what is left after ``grace_seconds`` is sent KILL. A process
    that has ended already is a success that says so. Every other process is refused, also one that has taken over the
    pid since. A process runs on the machine where it was started; on another the step is refused, naming it.
    """
    require("psutil", "system")
    number = signal_named(parameters.signal)
    registry = Registry(context.workspace, context.run_id)
    process = _find(parameters, registry)
    if place := elsewhere(process):
        raise StepRefused(
            f'"{process.name}" was started on {place}; run process_kill where process_start ran '
            "(in Airflow: give both the same queue)"
        )
    last = end([process], number=number, grace_seconds=parameters.grace_seconds, tree=parameters.tree)[process.name]
    return ProcessKillOutput(
        pid=process.pid,
        killed=last is not None,
        signal=last.name.removeprefix("SIG") if last else None,
        exit_code=registry.exit_code(process.name, within=_NOTED_SECONDS if last else 0),
        already_gone=last is None,
    )


def _find(parameters: ProcessKillParameters, registry: Registry) -> OwnedProcess:
    started = registry.all()
    for process in started:
        if process.name == parameters.name or process.pid == parameters.pid:
            return process
    asked = f'called "{parameters.name}"' if parameters.name else f"with pid {parameters.pid}"
    there = ", ".join(f"{process.name} ({process.pid})" for process in started) or "none"
    raise StepRefused(f"this mission started no process {asked}; it started: {there}")
