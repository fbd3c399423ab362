"""Network steps as Airflow tasks."""

from __future__ import annotations

from rustchain_airflow.operators._step import StepOperator


class NetworkOperator(StepOperator):
    """WebSocket, FTP, SSH and ping."""

    family = "network"
    ui_color = "#e6f6f7"
