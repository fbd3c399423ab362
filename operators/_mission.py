"""What every task of a mission knows of the mission it belongs to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf

from rustchain_airflow.plan import Edge, PlannedStep
from rustchain_airflow.runtime.context import MissionRun
from rustchain_airflow.step_type import StepType

if TYPE_CHECKING:
    from airflow.sdk import Context

Row = tuple[str, Mapping[str, Any], Sequence[str]]
"""One task of a mission written as a table: operator, its arguments, the ids of the tasks before it."""


class MissionOperator(BaseOperator):
    """A task of a mission. What all its tasks share is said once, in the DAG's ``default_args``.

    ``mission_name`` defaults to the DAG's display name. ``mission_config`` is what ``{{ config.x }}`` reads.
    ``mission_timeout`` bounds the whole run, counted from its start (semantics §5.4). ``mission_priority`` is the
    weight of the last step; those written before it weigh more (semantics §2.4).
    """

    def __init__(
        self,
        *,
        mission_name: str | None = None,
        mission_version: str = "1.0",
        mission_config: Mapping[str, Any] | None = None,
        mission_timeout: timedelta | None = None,
        mission_priority: int = 1,
        fail_fast: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mission_name = mission_name
        self.mission_version = mission_version
        self.mission_config = dict(mission_config or {})
        self.mission_timeout = mission_timeout
        self.mission_priority = mission_priority
        self.fail_fast = fail_fast
        self.rows: Sequence[Row] | None = None
        """The whole mission where this process built only the task it runs; None where the DAG is whole."""

    def mission_run(self, context: Context) -> MissionRun:
        """The run this task belongs to, as mission text sees it."""
        dag_run = context["dag_run"]
        return MissionRun(
            name=self.mission_name or self.dag.dag_display_name,
            version=self.mission_version,
            run_id=dag_run.run_id,
            started=dag_run.start_date or datetime.now(UTC),
            workspace=str(workspace_folder(dag_run.dag_id, dag_run.run_id)),
            config=self.mission_config,
        )

    def seconds_left(self, run: MissionRun) -> float | None:
        """Time left of the whole mission, below zero when it is used up; None without a limit."""
        if self.mission_timeout is None:
            return None
        return (run.started + self.mission_timeout - datetime.now(UTC)).total_seconds()

    def planned_steps(self) -> tuple[PlannedStep, ...]:
        """The mission's steps in file order, with what decides how they end; a gate stands for the step before it.

        Parameters are left out: they are each task's own affair.
        """
        rows = self.rows if self.rows is not None else self._rows_of_dag()
        tasks = {arguments["task_id"]: (arguments, upstream) for _, arguments, upstream in rows}
        step_ids = [task_id for task_id, (arguments, _) in tasks.items() if "step_type" in arguments]
        place = {step_id: position for position, step_id in enumerate(step_ids)}
        planned = []
        for step_id in step_ids:
            arguments, upstream = tasks[step_id]
            before = [step for task_id in upstream for step in ([task_id] if task_id in place else tasks[task_id][1])]
            planned.append(
                PlannedStep(
                    id=step_id,
                    name=arguments.get("task_display_name", step_id),
                    step_type=StepType(arguments["step_type"]),
                    position=place[step_id],
                    parameters={},
                    edges=tuple(
                        Edge(other, tolerates_failure=tasks[other][0].get("continue_on_error", False))
                        for other in sorted(before, key=place.__getitem__)
                    ),
                    attempts=arguments.get("retries", self.retries or 0) + 1,
                    continue_on_error=arguments.get("continue_on_error", False),
                )
            )
        return tuple(planned)

    def _rows_of_dag(self) -> list[Row]:
        rows: list[Row] = []
        for task in self.dag.tasks:
            arguments: dict[str, Any] = {"task_id": task.task_id}
            for name in ("step_type", "continue_on_error", "task_display_name", "retries"):
                if hasattr(task, name):
                    arguments[name] = getattr(task, name)
            if not task.is_teardown:
                rows.append((task.task_type, arguments, sorted(task.upstream_task_ids)))
        return rows


def workspace_folder(dag_id: str, run_id: str) -> Path:
    """The workspace of one run (semantics §10.5): below a root that all workers share."""
    root = conf.get("rustchain", "workspace_root", fallback="") or os.environ.get("RUSTCHAIN_WORKSPACE_ROOT", "")
    if not root:
        root = str(Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "missions")
    return Path(root) / _folder_name(dag_id) / _folder_name(run_id)


def _folder_name(text: str) -> str:
    """Text as the name of a folder. Different texts get different names."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:200]
    if safe == text and safe.strip("."):
        return safe
    return f"{safe}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
