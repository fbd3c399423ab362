"""What a step leaves in XCom is what the others read, whatever the database does to the order of keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rustchain_airflow.operators import _record
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.semantics import StepStatus

pytestmark = pytest.mark.airflow


def jsonb(value: Any) -> Any:
    """A value as PostgreSQL gives it back: the keys of objects by length, then by their bytes."""
    if isinstance(value, dict):
        return {key: jsonb(value[key]) for key in sorted(value, key=lambda key: (len(key.encode()), key.encode()))}
    return [jsonb(item) for item in value] if isinstance(value, list) else value


class OnPostgres:
    """The XComs of one task, kept as JSONB."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.kept[key] = jsonb(json.loads(json.dumps(value)))

    def xcom_pull(self, task_ids: str, key: str, map_indexes: None) -> Any:
        return self.kept.get(key)


@pytest.mark.parametrize(
    "output",
    [
        None,
        {},
        {"b": 1, "a": 2},
        {"zzzz": 1, "b": {"y": 1, "x": [{"q": 1, "p": 2}]}},
        {"rows": [{"name": "x", "id": 1}]},
        {"a": 1, "bb": 2, "ccc": [1, "text", None, True, 1.5]},
        {"é": 1, "zz": 2, "a": "ü\ud800"},
    ],
)
def test_outputs_keep_their_order(output: dict[str, Any] | None) -> None:
    """An output is read with its keys in the order in which the step gave them (semantics §7.5, §10.6)."""
    ti: Any = OnPostgres()
    _record.push(ti, StepResult("s", StepStatus.SUCCESS, output=output, attempts=1))
    record = _record.pull(ti, "s")
    assert record is not None
    assert json.dumps(record.result.output) == json.dumps(output)


def test_an_output_is_not_kept_twice_without_need() -> None:
    """Where the order survives, the output travels once."""
    ti: Any = OnPostgres()
    _record.push(ti, StepResult("s", StepStatus.SUCCESS, output={"a": 1, "bb": 2}, attempts=1))
    assert ti.kept["step_result"]["output_text"] is None
