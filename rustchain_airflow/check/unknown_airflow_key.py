"""RC601: an ``airflow:`` key that has no meaning."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity

MISSION_KEYS = [
    *("schedule", "start_date", "end_date", "timezone", "catchup", "tags", "owner", "params", "max_active_runs"),
    *("pool", "queue", "priority", "notifications", "dag_id", "doc_md"),
]
STEP_KEYS = ["pool", "pool_slots", "queue", "priority_weight", "executor", "inlets", "outlets", "deferrable"]


@rule("RC601", "unknown-airflow-key", Severity.WARNING, strict=True)
def unknown_airflow_key(draft: Draft) -> Iterator[Found]:
    """A key under ``airflow:`` that the compiler does not know is ignored (semantics §10.4)."""
    for key in draft.header.airflow:
        if key not in MISSION_KEYS:
            yield Found(
                ("airflow", key), f'unknown key "{key}" under airflow:', did_you_mean(key, MISSION_KEYS), at_key=True
            )
    for step in draft.steps:
        for key in step.step.airflow:
            if key not in STEP_KEYS:
                yield Found(
                    (*step.path, "airflow", key),
                    f'unknown key "{key}" under airflow: of a step',
                    did_you_mean(key, STEP_KEYS),
                    at_key=True,
                )
