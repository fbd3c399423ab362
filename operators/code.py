"""Code steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class CodeOperator(StepOperator):
    """Compile, test, format and lint code, extract functions, generate documentation."""

    family = "code"
    ui_color = "#f3eefb"
