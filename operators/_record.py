"""A step's result as its task leaves it in XCom: the output as ``return_value``, the rest as ``step_result``.

PostgreSQL keeps XComs as JSONB, which puts the keys of objects in an order of its own. Where that would show (an
object inserted into text, semantics §7.5), ``step_result`` also holds the output as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rustchain_airflow.runtime.results import StepResult

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

OUTPUT_KEY = "return_value"
RESULT_KEY = "step_result"
MISSION_TEXT_KEY = "mission_result_json"
"""The MissionResult as text, for whoever needs its steps in file order from a database that keeps no order."""


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
    text = None if survives_jsonb(output) else json.dumps(output, ensure_ascii=False)
    ended = datetime.now(UTC).isoformat()
    ti.xcom_push(RESULT_KEY, {**value, "has_output": output is not None, "output_text": text, "ended": ended})


def survives_jsonb(value: Any) -> bool:
    """Whether JSONB would keep the keys of all objects where they are: shorter ones first, then by their bytes."""
    if isinstance(value, Mapping):
        keys = [key.encode("utf-8", "surrogatepass") for key in value]
        return keys == sorted(keys, key=lambda key: (len(key), key)) and all(map(survives_jsonb, value.values()))
    return all(map(survives_jsonb, value)) if isinstance(value, (list, tuple)) else True


def pull(ti: RuntimeTaskInstance, step_id: str) -> Record | None:
    """The result that a step left in this run; None when it left none."""
    # An explicit map index: without one Airflow answers with a list whenever it does not find exactly one value.
    value = ti.xcom_pull(task_ids=step_id, key=RESULT_KEY, map_indexes=None)
    if not isinstance(value, dict):
        return None
    output = None
    if (text := value.get("output_text")) is not None:
        output = json.loads(text)
    elif value["has_output"]:
        output = ti.xcom_pull(task_ids=step_id, key=OUTPUT_KEY, map_indexes=None)
    return Record(StepResult.from_json({**value, "output": output}), datetime.fromisoformat(value["ended"]))


def first_to_end(records: Mapping[str, Record | None]) -> str:
    """The step whose record is oldest; one without a record counts as last, for nobody knows when it ended."""
    never = datetime.max.replace(tzinfo=UTC)
    return min(records, key=lambda step_id: never if (record := records[step_id]) is None else record.ended)
