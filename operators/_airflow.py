"""Every touch of Airflow that its public interface does not promise, in one place.

Each function says what it falls back to, so that a change inside Airflow costs speed or a detail, never a result.
Written against Airflow 3.3; `tests/airflow` runs all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

logger = logging.getLogger("rustchain_airflow.airflow")

FAILED = "failed"
SKIPPED = "skipped"
SUCCESS = "success"

_LAST_ATTEMPT = "rustchain_last_attempt"


def task_instance(context: Context) -> RuntimeTaskInstance:
    """The running task, as what it is: the type that Airflow promises leaves out the questions asked here."""
    ti: RuntimeTaskInstanceProtocol = context["ti"]
    return cast("RuntimeTaskInstance", ti)


def count_failed(ti: RuntimeTaskInstance) -> int:
    """How many task instances of this run have failed. One cheap request."""
    return ti.get_ti_count(dag_id=ti.dag_id, run_ids=[ti.run_id], states=[FAILED])


def states(ti: RuntimeTaskInstance) -> dict[str, str | None]:
    """The state of every task instance of this run; None for one that was not scheduled yet."""
    found: Mapping[str, Mapping[str, Any]] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    return {task_id: None if state is None else str(state) for task_id, state in found.get(ti.run_id, {}).items()}


def ended_states(ti: RuntimeTaskInstance) -> dict[str, str]:
    """The state of every task instance of this run that has ended; much cheaper than `states` in a large run."""
    try:
        breadcrumbs: Iterable[Mapping[str, Any]] = ti.get_task_breadcrumbs(dag_id=ti.dag_id, run_id=ti.run_id)
    except AttributeError:
        return {task_id: state for task_id, state in states(ti).items() if state is not None}
    return {crumb["task_id"]: str(crumb["state"]) for crumb in breadcrumbs}


def skip(task_ids: Collection[str]) -> None:
    """Mark tasks of the current run that have not started as skipped. One request.

    Where this Airflow does not know the message, each task is skipped by its own guard when it comes to start.
    """
    if not task_ids:
        return
    try:
        from airflow.sdk.execution_time.comms import SkipDownstreamTasks
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS
    except ImportError:
        logger.info("this Airflow cannot skip steps from here; each will be skipped as it comes to start")
        return
    try:
        SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=list(task_ids)))
    except Exception as error:
        logger.warning("the steps that have not started could not be skipped at once: %s", error)


def attempt(ti: RuntimeTaskInstance, retries: int) -> int:
    """Which attempt of the step this is, from 1; clearing a task starts the count anew.

    Airflow counts tries on over a clear, and raises ``max_tries`` by as many.
    """
    return max(1, ti.try_number - max(0, ti.max_tries - retries))


def remember(context: Context, result: Mapping[str, Any]) -> None:
    """Keep how this attempt ended for the next one; XComs do not outlive a retry."""
    if (store := context.get("task_state_store")) is not None:
        store.set(_LAST_ATTEMPT, dict(result))


def remembered(context: Context) -> dict[str, Any] | None:
    """What the attempt before this one kept; None where it was lost, or Airflow has no task state store."""
    store = context.get("task_state_store")
    value = None if store is None else store.get(_LAST_ATTEMPT)
    return value if isinstance(value, dict) else None


def requested_task(dag_id: str) -> str | None:
    """The one task of this DAG that the process was started for; None where the whole DAG is wanted."""
    from airflow.sdk import get_parsing_context

    context = get_parsing_context()
    return context.task_id if context.dag_id == dag_id else None
