"""The git family in one mission."""

from __future__ import annotations

from pathlib import Path

from rustchain_airflow.check import check_file
from rustchain_airflow.local.executor import DagExecutor

MISSION = Path(__file__).with_name("every_git_step.yaml")


def test_every_git_step(tmp_path):
    """Every git step type works with the others, on outputs of each other."""
    result = DagExecutor.execute_mission(check_file(MISSION).require_plan(), workspace=tmp_path)
    steps = result.step_results
    assert {step_id: step.error for step_id, step in steps.items() if step.error} == {
        "aborted": 'merging "feature/x" conflicts in README.md; the repository was left as it was'
    }
    assert result.status == "Completed"
    assert steps["before"].output["branch"] == "main"
    assert steps["changed"].output["files"][0]["path"] == "README.md"
    assert steps["untouched"].output["clean"] is True
    assert steps["merged"].output["message"] == "Merge, README.md by hand"
    assert steps["all_of_it"].output["diff"].endswith("-one\n+both\n")
