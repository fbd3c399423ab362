"""RC303: a reference to an output field that the step type does not have."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.draft_step import Meaning
from rustchain_airflow.check.references import has_default, output_path
from rustchain_airflow.check.rule import Found, did_you_mean, rule
from rustchain_airflow.expressions import Segment
from rustchain_airflow.source import DocumentPath

_SCALARS: dict[Any, str] = {str: "text", int: "a number", float: "a number", bool: "true or false"}


@rule("RC303", "unknown-output-field")
def unknown_output_field(draft: Draft) -> Iterator[Found]:
    """A reference, or ``outputs:``, names a field that the output of that step type never has.

    ``rustchain-airflow steps TYPE`` lists what each type gives back.
    """
    for step in draft.steps:
        for use in step.uses:
            path = use.reference.step_path if use.meaning is Meaning.STEP else ()
            if len(path) > 1 and path[0] == "output" and use.reads and not has_default(use.written):
                written = use.written.text
                yield from _missing(draft, use.reads, path[1:], use.path, written, within=written)
        for variable, output_field in step.step.outputs.items():
            here = (*step.path, "outputs", variable)
            yield from _missing(draft, step.step.id, output_path(output_field)[1:], here, f'variable "{variable}"')


def _missing(
    draft: Draft,
    step_id: str,
    path: tuple[Segment, ...],
    place: DocumentPath,
    what: str,
    *,
    within: str | None = None,
) -> Iterator[Found]:
    source = draft.by_id[step_id]
    if source.implementation is None:
        return
    model: Any = source.implementation.output
    for depth, segment in enumerate(path):
        if model in _SCALARS:
            above = ".".join(map(str, path[:depth]))
            yield Found(
                place,
                f'{what} reads "{segment}" inside "{above}", which is {_SCALARS[model]}',
                f'"{above}" itself is the value',
                within=within,
            )
            return
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            model = _item(model) if isinstance(segment, int) else None
            if model is None:
                return
            continue
        if model.model_config.get("extra") == "allow":
            return
        fields = model.model_fields
        if str(segment) not in fields:
            whose = f'output of step "{step_id}" ({source.step.step_type})'
            within = f'"{".".join(map(str, path[:depth]))}" of the {whose}' if depth else f"the {whose}"
            yield Found(
                place,
                f'{what} reads "{segment}", which {within} does not have',
                did_you_mean(segment, list(fields)) or f"it has: {', '.join(fields)}",
                within=within,
            )
            return
        model = _bare(fields[str(segment)].annotation)


def _bare(annotation: Any) -> Any:
    """A field's type without Optional."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else None
    return annotation


def _item(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return _bare(arguments[0]) if typing.get_origin(annotation) is list and arguments else None
