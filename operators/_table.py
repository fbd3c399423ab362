"""Large missions: the tasks of a DAG from a table, without the cost of building what nobody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator

from rustchain_airflow import operators
from rustchain_airflow.operators import _airflow
from rustchain_airflow.operators._mission import MissionOperator, Row

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_mission(dag: DAG, rows: Sequence[Row]) -> None:
    """Give ``dag`` the tasks of ``rows``: operator, arguments, and the ids of the tasks before it.

    The first row is the mission's start, the last its result. Serialises like the same tasks wired with ``>>``, whose
    cost grows with the square of their number. In a process that runs one task, only that task is built.
    """
    requested = _airflow.requested_task(dag.dag_id)
    if requested is not None:
        for row in rows:
            if row[1]["task_id"] == requested:
                task = _task(dag, row)
                if isinstance(task, MissionOperator):
                    task.rows = rows
                return
    tasks = {row[1]["task_id"]: _task(dag, row) for row in rows}
    for _, arguments, upstream in rows:
        task = tasks[arguments["task_id"]]
        task.upstream_task_ids.update(upstream)
        for task_id in upstream:
            tasks[task_id].downstream_task_ids.add(task.task_id)
    start, result = tasks[rows[0][1]["task_id"]], tasks[rows[-1][1]["task_id"]]
    result.as_teardown(setups=start, on_failure_fail_dagrun=True)
    dag.add_result(result.output)


def _task(dag: DAG, row: Row) -> BaseOperator:
    name, arguments, _ = row
    operator: type[BaseOperator] = EmptyOperator if name == EmptyOperator.__name__ else getattr(operators, name)
    return operator(dag=dag, **arguments)
