"""The system family in one mission."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from rustchain_airflow.check import check_file
from rustchain_airflow.local.executor import DagExecutor

MISSION = Path(__file__).with_name("every_system_step.yaml")


def test_every_system_step(tmp_path, free_port):
    """Every system step type works with the others, and nothing the mission started outlives it."""
    result = DagExecutor.execute_mission(
        check_file(MISSION).require_plan(), workspace=tmp_path, variables={"port": free_port, "python": sys.executable}
    )
    steps = result.step_results
    assert {step_id: step.error for step_id, step in steps.items() if step.error} == {}
    assert steps["server"].output["ready"] is True
    assert steps["load"].output["process"]["running"] is True
    assert steps["stop"].output["killed"] is True
    assert steps["again"].output["already_gone"] is True
    assert steps["again"].output["exit_code"] == steps["stop"].output["exit_code"] == -15
    assert steps["read"].output["content"] == "all is well"
    left = steps["aside"].output["pid"]
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
