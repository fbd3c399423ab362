"""Processes that a mission starts are gone when it has ended, however it ended."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from rustchain_airflow.check import check_text
from rustchain_airflow.local.executor import Execution
from rustchain_airflow.local.reporter import Silent
from rustchain_airflow.plan import PlannedStep

START = "{id: serve, step_type: process_start, parameters: {command: sleep, args: ['600'], name: server}}"


class Waits(Silent):
    def __init__(self) -> None:
        self.waiting = threading.Event()

    def step_started(self, step: PlannedStep, attempt: int) -> None:
        if step.id == "wait":
            self.waiting.set()


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("{id: wait, step_type: noop, depends_on: [serve]}", "Completed"),
        ("{id: wait, step_type: command, depends_on: [serve], parameters: {command: 'false'}}", "Failed"),
        ("{id: wait, step_type: command, depends_on: [serve], parameters: {command: sleep 600}}", "Cancelled"),
        ("{id: wait, step_type: command, depends_on: [serve], parameters: {command: sleep 601}}", "Failed"),
    ],
    ids=["completed", "failed", "cancelled", "timed out"],
)
def test_nothing_outlives_its_mission(tmp_path: Path, rest: str, status: str) -> None:
    """Ended, failed, cancelled or out of time: no process of process_start is left (steps.md, system)."""
    limit = "config: {timeout_seconds: 3}\n" if "601" in rest else ""
    told = Waits()
    execution = Execution(
        check_text(f"{limit}steps: [{START}, {rest}]").require_plan(), workspace=tmp_path, reporter=told
    )
    if status == "Cancelled":
        threading.Thread(target=lambda: told.waiting.wait(60) and execution.cancel()).start()
    result = execution.run()
    assert result.status == status
    started = result.step_results["serve"]
    assert started.output is not None, started.error
    pid = started.output["pid"]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_keep_opts_out(tmp_path: Path) -> None:
    """``keep: true`` leaves the process to whoever wants it."""
    keep = START.replace("name: server", "name: server, keep: true")
    result = Execution(check_text(f"steps: [{keep}]").require_plan(), workspace=tmp_path).run()
    started = result.step_results["serve"]
    assert started.output is not None, started.error
    process = psutil.Process(started.output["pid"])
    try:
        assert process.is_running()
    finally:
        process.kill()
