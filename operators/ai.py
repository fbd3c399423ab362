"""AI steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class AiOperator(StepOperator):
    """Language models, tools, agents, chains, retrieval."""

    family = "ai"
    ui_color = "#efeafc"
