"""Database steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class DatabaseOperator(StepOperator):
    """Query SQL databases and Redis, back up, migrate."""

    family = "database"
    ui_color = "#fff5e0"
