"""Ends what a mission started and did not end itself, in both engines."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps.sdk import StepError
from rustchain_airflow.steps.system.registry import Registry, elsewhere, end, living

logger = logging.getLogger("rustchain_airflow.processes")


@dataclass(frozen=True, slots=True)
class EndedProcess:
    """A process that the end of its mission found running."""

    name: str
    pid: int
    ended: bool
    """False for one on another machine, which ends by itself within seconds, and for one that could not be ended."""
    detail: str


def end_owned_processes(workspace_root: Path, run_id: str, *, grace_seconds: float = 2.0) -> list[EndedProcess]:
    """End every process that ``process_start`` left running in this run, but those started with ``keep``.

    For the end of a run, however it ended: call it when no step runs any more. Processes on other machines that
    share the workspace are told through it. Never raises; what could not be ended is in the result and the log.
    Calling it again, or for a run that started nothing, does nothing.
    """
    workspace = GuardedWorkspace(workspace_root)
    registry = Registry(workspace, run_id)
    found: list[EndedProcess] = []
    try:
        processes = [process for process in registry.all() if not process.keep]
        if not processes:
            return []
        registry.mark_ended()
        here = [process for process in processes if elsewhere(process) is None and living(process)]
        away = [(process, place) for process in processes if (place := elsewhere(process)) is not None]
        found += [EndedProcess(process.name, process.pid, False, f"runs on {place}") for process, place in away]
        try:
            last = end(here, number=signal.SIGTERM, grace_seconds=grace_seconds)
        except StepError as error:
            found += [EndedProcess(process.name, process.pid, False, str(error)) for process in here if living(process)]
        else:
            for process in here:
                number = last[process.name]
                found.append(
                    EndedProcess(process.name, process.pid, True, number.name if number else "ended by itself")
                )
    except (StepError, OSError) as error:
        logger.warning("processes of run %s may be left: %s", run_id, error)
    for left in found:
        level = logging.INFO if left.ended else logging.WARNING
        logger.log(level, "process %s (pid %d) outlived its mission: %s", left.name, left.pid, left.detail)
    return found
