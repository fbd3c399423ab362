"""What each reference in a mission means, decided before anything runs (semantics §7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rustchain_airflow.check.draft_step import DraftStep, Meaning, Use
from rustchain_airflow.expressions import (
    BUILTINS,
    MISSING,
    Reference,
    Segment,
    holds_reference,
    legacy_references,
    parse,
    parse_path,
    strings,
)
from rustchain_airflow.source import DocumentPath

SHORTHAND = re.compile(r"(?P<name>.+)_(?:result|response|context)")
"""Bare names that mean the main output of a step (semantics §7.3)."""

STEP_PROPERTIES = ("output", "status", "error")
MISSION_PROPERTIES = ("name", "version", "run_id", "timestamp", "workspace")


class Vocabulary(NamedTuple):
    """The names a mission's references may use."""

    steps: Mapping[str, DraftStep]
    variables: frozenset[str]
    setters: Mapping[str, list[tuple[DraftStep, str]]]
    """Context variable to the steps that set it, in file order, and the output field each takes."""

    def setter(self, variable: str, reader: DraftStep) -> tuple[DraftStep, str] | None:
        """The step whose value a reader sees: the last one written before it, else the last of all."""
        others = [setter for setter in self.setters.get(variable, ()) if setter[0].index != reader.index]
        before = [setter for setter in others if setter[0].index < reader.index]
        return before[-1] if before else others[-1] if others else None

    def shorthand(self, name: str) -> list[DraftStep]:
        """The steps that ``NAME_result`` may mean: NAME itself, else all whose id ends in ``_NAME``."""
        if (exact := self.steps.get(name)) is not None:
            return [exact]
        return [step for step_id, step in self.steps.items() if step_id.endswith(f"_{name}")]


def uses(step: DraftStep, vocabulary: Vocabulary) -> Iterator[Use]:
    """Every reference in a step's parameters with its meaning."""
    for inner, text in strings(step.step.parameters):
        if "{" not in text:
            continue
        path: DocumentPath = (*step.path, "parameters", *inner)
        if holds_reference(text):
            for reference in parse(text).references:
                yield _use(path, reference, step, vocabulary)
        for written, step_id, _ in legacy_references(text):
            target = vocabulary.steps.get(step_id)
            if target is not None and target is not step:
                meant = _main(target)
                yield Use(path, Reference(meant.segments, text=written), Meaning.STEP, meant, step_id, True)


def _use(path: DocumentPath, written: Reference, step: DraftStep, vocabulary: Vocabulary) -> Use:
    head, rest = written.head, written.segments[1:]
    if head == "env":
        return Use(path, written, Meaning.ENVIRONMENT, written)
    if head == "config":
        return Use(path, written, Meaning.CONFIG, written)
    if head == "mission":
        return Use(path, written, Meaning.MISSION, written)
    if head == "context":
        if rest and (setter := vocabulary.setter(str(rest[0]), step)):
            return _set_by(path, written, setter, rest[1:])
        return Use(path, written, Meaning.CONTEXT, written)
    if head == "steps":
        return _step(path, written, str(rest[0]) if rest else "", rest[1:], vocabulary)
    if len(written.segments) > 1 and head in vocabulary.steps and (rest[0] in STEP_PROPERTIES):
        return _step(path, written, head, rest, vocabulary)
    if setter := vocabulary.setter(head, step):
        return _set_by(path, written, setter, rest)
    if head in vocabulary.variables:
        return Use(path, written, Meaning.CONTEXT, written)
    if not rest and head in BUILTINS:
        return Use(path, written, Meaning.BUILTIN, written)
    if match := SHORTHAND.fullmatch(head):
        candidates = [candidate for candidate in vocabulary.shorthand(match["name"]) if candidate is not step]
        if len(candidates) == 1:
            main = _main(candidates[0])
            meant = Reference((*main.segments, *rest), written.default, written.text)
            return Use(path, written, Meaning.STEP, meant, candidates[0].step.id)
        if candidates:
            ids = tuple(candidate.step.id for candidate in candidates)
            return Use(path, written, Meaning.AMBIGUOUS, written, candidates=ids)
    if head in vocabulary.steps and rest:
        return Use(path, written, Meaning.UNKNOWN_PROPERTY, written)
    if rest and rest[0] in STEP_PROPERTIES:
        return Use(path, written, Meaning.UNKNOWN_STEP, written)
    return Use(path, written, Meaning.UNKNOWN_NAME, written)


def _step(
    path: DocumentPath, written: Reference, step_id: str, rest: tuple[Segment, ...], vocabulary: Vocabulary
) -> Use:
    if step_id not in vocabulary.steps:
        return Use(path, written, Meaning.UNKNOWN_STEP, written)
    if not rest or rest[0] not in STEP_PROPERTIES:
        return Use(path, written, Meaning.UNKNOWN_PROPERTY, written, step_id)
    return Use(path, written, Meaning.STEP, written, step_id)


def _set_by(path: DocumentPath, written: Reference, setter: tuple[DraftStep, str], rest: tuple[Segment, ...]) -> Use:
    step, output_field = setter
    meant = Reference(("steps", step.step.id, *output_path(output_field), *rest), written.default, written.text)
    return Use(path, written, Meaning.STEP, meant, step.step.id)


def output_path(output_field: str) -> tuple[Segment, ...]:
    """The path of an output field as ``outputs:`` names it: ``total`` or ``statistics.sales.mean``."""
    try:
        return parse_path(f"output.{output_field}").segments if output_field else ("output",)
    except ValueError:
        return ("output", output_field)


def _main(step: DraftStep) -> Reference:
    """The main output of a step, or its whole output where the type names none."""
    implementation = step.implementation
    main = implementation.output.main if implementation else None
    return Reference(("steps", step.step.id, "output", *((main,) if main else ())))


def binding(use: Use) -> tuple[str, Reference] | None:
    """What the plan has to remember of a use: nothing when it means what it says."""
    if use.single_brace or use.reference is not use.written:
        return use.written.text, use.reference
    return None


def has_default(reference: Reference) -> bool:
    return reference.default is not MISSING
