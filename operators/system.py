"""System steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class SystemOperator(StepOperator):
    """Start and stop processes, watch resources and services, compress."""

    family = "system"
    ui_color = "#eef0f2"
