"""Data steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class DataOperator(StepOperator):
    """Parse JSON, YAML and XML, validate against schemas, process CSV."""

    family = "data"
    ui_color = "#eaf6ec"
