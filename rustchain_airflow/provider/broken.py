"""What Airflow is given in place of a mission that is not valid."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException


class InvalidMission(Exception):
    """The findings of a mission, as an import error shows them."""

    def __init__(self, findings: str) -> None:
        super().__init__("\n" + findings)


class InvalidMissionOperator(BaseOperator):
    """Fails with the findings of a mission."""

    ui_color = "#fbe3e0"

    def __init__(self, *, findings: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.findings = findings

    def execute(self, context: object) -> None:
        raise AirflowFailException("\n" + self.findings)


def placeholder(dag_id: str, name: str, findings: str) -> DAG:
    """A DAG in the place of the mission's own: what is wrong stands in its documentation, and its one task fails."""
    # A fence longer than any run of backticks inside, so that no text of the mission can end it.
    fence = "`" * max(3, 1 + max(map(len, "".join(c if c == "`" else " " for c in findings).split()), default=0))
    with DAG(
        dag_id=dag_id,
        doc_md=f"# {dag_id}\n\nThis mission is not valid:\n\n{fence}text\n{findings}\n{fence}\n",
        schedule=None,
        tags=["rustchain", "mission-error"],
    ) as dag:
        InvalidMissionOperator(task_id="invalid_mission", task_display_name=name[:250], findings=findings, retries=0)
    return dag
