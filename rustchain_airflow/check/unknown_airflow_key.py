"""RC601: an ``airflow:`` key that has no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.source import DocumentPath

MISSION_KEYS = [
    *("schedule", "start_date", "end_date", "timezone", "catchup", "tags", "owner", "params", "max_active_runs"),
    *("pool", "queue", "priority", "dag_id", "doc_md"),
]
STEP_KEYS = ["pool", "pool_slots", "queue", "priority_weight", "executor", "inlets", "outlets"]

NOT_YET = ["notifications", "deferrable"]
"""Keys of semantics §10.4 that the compiler does not know yet."""


@rule("RC601", "unknown-airflow-key", Severity.WARNING, strict=True)
def unknown_airflow_key(draft: Draft) -> Iterator[Found]:
    """A key under ``airflow:`` that the compiler does not know, or does not know yet, is ignored (semantics §10.4)."""
    yield from _ignored(draft.header.airflow, MISSION_KEYS, ("airflow",), "airflow:")
    for step in draft.steps:
        yield from _ignored(step.step.airflow, STEP_KEYS, (*step.path, "airflow"), "airflow: of a step")


def _ignored(given: Mapping[str, Any], known: list[str], path: DocumentPath, where: str) -> Iterator[Found]:
    for key in given:
        if key in NOT_YET:
            yield Found((*path, key), f'"{key}" under {where} has no effect in this version', at_key=True)
        elif key not in known:
            yield Found((*path, key), f'unknown key "{key}" under {where}', did_you_mean(key, known), at_key=True)
