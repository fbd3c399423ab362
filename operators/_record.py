"""A step's result as its task leaves it in XCom: the output as ``return_value``, the rest as ``step_result``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rustchain_airflow.runtime.results import StepResult

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

OUTPUT_KEY = "return_value"
RESULT_KEY = "step_result"


@dataclass(frozen=True, slots=True)
class Record:
    """A step's result, and when it was left."""

    result: StepResult
    ended: datetime


def push(ti: RuntimeTaskInstance, result: StepResult) -> None:
    """Leave a result for the other tasks of the run. Called before the task raises or returns."""
    value = result.to_json()
    output = value.pop("output")
    if output is not None:
        ti.xcom_push(OUTPUT_KEY, output)
    ti.xcom_push(RESULT_KEY, {**value, "has_output": output is not None, "ended": datetime.now(UTC).isoformat()})


def pull(ti: RuntimeTaskInstance, step_id: str) -> Record | None:
    """The result that a step left in this run; None when it left none."""
    # An explicit map index: without one Airflow answers with a list whenever it does not find exactly one value.
    value = ti.xcom_pull(task_ids=step_id, key=RESULT_KEY, map_indexes=None)
    if not isinstance(value, dict):
        return None
    output = None
    if value["has_output"]:
        output = ti.xcom_pull(task_ids=step_id, key=OUTPUT_KEY, map_indexes=None)
    return Record(StepResult.from_json({**value, "output": output}), datetime.fromisoformat(value["ended"]))


def first_to_end(records: Mapping[str, Record | None]) -> str:
    """The step whose record is oldest; one without a record counts as last, for nobody knows when it ended."""
    never = datetime.max.replace(tzinfo=UTC)
    return min(records, key=lambda step_id: never if (record := records[step_id]) is None else record.ended)
