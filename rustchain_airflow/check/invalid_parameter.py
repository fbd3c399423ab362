"""RC402: a parameter that the step type refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from rustchain_airflow.check.draft import Draft, existing
from rustchain_airflow.check.draft_step import DraftStep
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.check.wrong_type import KINDS, complaint, kind_of
from rustchain_airflow.expressions import Reference, parse


@rule("RC402", "invalid-parameter")
def invalid_parameter(draft: Draft) -> Iterator[Found]:
    """A parameter is missing, has the wrong kind, or does not go with another.

    What is written out is judged now; what a reference will bring is judged when the step runs.
    """
    for step in draft.steps:
        if step.implementation is None:
            continue
        try:
            step.implementation.parameters.model_validate(step.step.parameters)
        except ValidationError as error:
            yield from _founds(step, error)


def _founds(step: DraftStep, error: ValidationError) -> Iterator[Found]:
    open_questions = _holds_reference(step.step.parameters)
    seen: set[tuple[str | int, ...]] = set()
    for fault in error.errors(include_url=False):
        value = fault["input"]
        where = fault["loc"]
        if _is_template(value) or (not where and open_questions and fault["type"] != "presence"):
            continue
        written = (step.written_key(str(where[0])), *where[1:]) if where else ()
        path = existing(step.step.parameters, written)
        if path in seen:
            continue  # each member of a union complains; the first says it
        seen.add(path)
        name = ".".join(map(str, path))
        place = (*step.path, "parameters", *path)
        if fault["type"] == "missing":
            yield Found(
                place[:-1] if len(path) > 1 or step.step.parameters else step.path,
                f'step "{step.step.id}" ({step.step.step_type}) needs the parameter "{name}"',
                f"add {name}: under parameters:",
                at_key=bool(step.step.parameters) and len(path) == 1,
            )
            continue
        said = complaint(fault["type"], fault["msg"], value)
        if path and said.startswith("must be") and fault["type"] not in KINDS:
            said += f", not {kind_of(value)}"
        subject = f'"{name}" of {step.step.step_type}' if name else f"{step.step.step_type}:"
        yield Found(place if path else (*step.path, "parameters"), f"{subject} {said}", at_key=not path)


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and any(isinstance(part, Reference) for part in parse(value).parts)


def _holds_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_reference, value.values()))
    if isinstance(value, list):
        return any(map(_holds_reference, value))
    return _is_template(value)
