"""RC104: a key nobody reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.diagnostics import Severity
from rustchain_airflow.mission import IGNORED_PREFIX, Mission, MissionConfig, MissionInput, MissionStep
from rustchain_airflow.source import DocumentPath


@rule("RC104", "unknown-key", Severity.WARNING, strict=True)
def unknown_key(draft: Draft) -> Iterator[Found]:
    """A key of the mission, its config or a step that has no meaning there, most often a misspelt one.

    It is ignored, so a misspelt ``depends_on`` would let a step start too early. Keys that begin with ``x-`` are
    yours and are never reported.
    """
    yield from _unknown(Mission, draft.value, (), "a mission")
    if isinstance(config := draft.value.get("config"), Mapping):
        yield from _unknown(MissionConfig, config, ("config",), "config")
    inputs = draft.value.get("parameters")
    for index, item in enumerate(inputs if isinstance(inputs, list) else ()):
        if isinstance(item, Mapping):
            yield from _unknown(MissionInput, item, ("parameters", index), "a typed input")
    steps = draft.value.get("steps")
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, Mapping):
            yield from _unknown(MissionStep, step, ("steps", index), "a step")


def _unknown(model: type[BaseModel], value: Mapping[str, Any], path: DocumentPath, owner: str) -> Iterator[Found]:
    fields = model.model_fields
    for key in value:
        if key not in fields and not key.startswith(IGNORED_PREFIX):
            known = list(fields)
            yield Found(
                (*path, key),
                f'unknown key "{key}" in {owner}',
                did_you_mean(key, known) or f"known keys: {', '.join(known)}",
                at_key=True,
            )
