"""Git steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class GitOperator(StepOperator):
    """Commit, branch, merge, and read the status and differences of repositories."""

    family = "git"
    ui_color = "#fbeee8"
