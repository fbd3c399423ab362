"""File steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class FileOperator(StepOperator):
    """Create, edit, copy, move, delete, read, list and search files."""

    family = "file"
    ui_color = "#e8f1fa"
