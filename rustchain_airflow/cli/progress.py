"""Live progress in a terminal: the steps that run, the last that ended, n of N."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.text import Text

from rustchain_airflow.diagnostics.text import escaped
from rustchain_airflow.local.reporter import counted, duration, outcome, retry_line, verdict
from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.runtime.context import MissionRun
from rustchain_airflow.runtime.results import MissionResult, StepResult
from rustchain_airflow.semantics import MissionStatus, StepStatus

_STYLES = {StepStatus.SUCCESS: ("✓", "green"), StepStatus.FAILED: ("✗", "red"), StepStatus.SKIPPED: ("–", "dim")}
_MISSION_STYLES = {MissionStatus.COMPLETED: "bold green", MissionStatus.FAILED: "bold red"}

MOST_RUNNING = 20
"""Running steps that are shown at once: redrawing hundreds of lines would cost more than the steps."""


class Live:
    """Prints a line for each step that has ended, above the steps that run now."""

    def __init__(self, console: Console | None = None) -> None:
        self._running: dict[str, tuple[float, int]] = {}
        self._ended = 0
        self._steps = 0
        self._console = console or Console(highlight=False)
        # The last, because it renders once to begin with.
        self._live = RichLive(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def mission_started(self, plan: Plan, run: MissionRun) -> None:
        self._steps = len(plan.steps)
        name = escaped(plan.name)
        self._console.print(Text.assemble((name, "bold"), f"  {counted(self._steps, 'step')}, run {run.run_id}"))
        self._live.start(refresh=True)

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        self._running[step.id] = (time.monotonic(), attempt)

    def step_retried(self, step: PlannedStep, failed: StepResult) -> None:
        self._running.pop(step.id, None)
        told = escaped(retry_line(step, failed).removeprefix("retry").strip())
        self._console.print(Text(f"↻ {told}", style="yellow"))

    def step_ended(self, step: PlannedStep, result: StepResult) -> None:
        self._running.pop(step.id, None)
        self._ended += 1
        mark, style = _STYLES[result.status]
        if result.status is StepStatus.FAILED and step.continue_on_error:
            style = "yellow"
        self._console.print(Text.assemble((f"{mark} ", style), step.id, (f"  {escaped(outcome(step, result))}", "dim")))

    def mission_ended(self, result: MissionResult) -> None:
        self._live.stop()
        self._console.print(Text(verdict(result), style=_MISSION_STYLES.get(result.status, "bold yellow")))

    def _render(self) -> RenderableType:
        now = time.monotonic()
        running = list(self._running.items())
        lines = [
            Text.assemble(
                ("● ", "cyan"),
                step_id,
                (f"  {duration(round((now - began) * 1000))}" + (f", attempt {attempt}" if attempt > 1 else ""), "dim"),
            )
            for step_id, (began, attempt) in running[:MOST_RUNNING]
        ]
        if len(running) > MOST_RUNNING:
            lines.append(Text(f"  and {len(running) - MOST_RUNNING} more", style="dim"))
        return Group(*lines, Text(f"{self._ended} of {self._steps}", style="dim"))
