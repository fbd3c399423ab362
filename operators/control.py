"""Control steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class ControlOperator(StepOperator):
    """Commands, HTTP requests, and steps that only wait for others."""

    family = "control"
    ui_color = "#f5f5e9"
