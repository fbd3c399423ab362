"""Machine learning steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class MlOperator(StepOperator):
    """Embeddings, similarity search, model inference."""

    family = "ml"
    ui_color = "#f9eaf3"
