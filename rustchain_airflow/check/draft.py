"""Draft: a mission while it is being checked, as far as it could be understood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import ValidationError

from rustchain_airflow.check.draft_step import DraftStep
from rustchain_airflow.check.references import Vocabulary, uses
from rustchain_airflow.dialects import Canonical, canonical
from rustchain_airflow.mission import Mission, MissionHeader, MissionStep, default_name
from rustchain_airflow.source import DocumentPath
from rustchain_airflow.step_type import StepType


class ShapeError(NamedTuple):
    """One fault pydantic found: its path in the canonical value, its type, and what stood there."""

    path: DocumentPath
    type: str
    message: str
    input: Any


class Dependency(NamedTuple):
    """An edge of the graph and where the mission says it."""

    upstream: int
    path: DocumentPath
    inferred: bool
    within: str | None = None
    """The reference that says it, inside the text at ``path``."""


class Draft:
    """Everything the rules ask about; parts of the wrong shape are absent and listed in ``shape``."""

    def __init__(self, value: Mapping[str, Any], *, name: str, variables: Iterable[str] = ()) -> None:
        self.canonical: Canonical = canonical(value)
        self.shape: list[ShapeError] = []
        self.given_variables = frozenset(variables)
        """Names of context variables that the caller gives to the run (``--var``)."""
        self.header = self._header(name)
        self.steps = list(self._steps())
        self.by_id: dict[str, DraftStep] = {}
        for step in self.steps:
            self.by_id.setdefault(step.step.id, step)
        self._by_index = {step.index: step for step in self.steps}
        vocabulary = self.vocabulary
        for step in self.steps:
            step.uses = list(uses(step, vocabulary))

    @property
    def value(self) -> dict[str, Any]:
        return self.canonical.value

    def at(self, index: int) -> DraftStep:
        return self._by_index[index]

    def _header(self, name: str) -> MissionHeader:
        header = {key: item for key, item in self.value.items() if key != "steps"}
        header.setdefault("name", default_name(name))
        if isinstance(header.get("version"), (int, float)) and not isinstance(header["version"], bool):
            header["version"] = str(header["version"])
        if header.get("config", ()) is None:
            header["config"] = {}
        try:
            return MissionHeader.model_validate(header)
        except ValidationError as error:
            self._note(error, (), header)
        valid = {key: item for key, item in header.items() if not any(fault.path[:1] == (key,) for fault in self.shape)}
        valid.setdefault("name", default_name(name))
        return MissionHeader.model_validate(valid)

    def _steps(self) -> Iterator[DraftStep]:
        steps = self.value.get("steps")
        if not isinstance(steps, list):
            return
        for index, step in enumerate(steps):
            try:
                yield DraftStep(index, MissionStep.model_validate(step))
            except ValidationError as error:
                self._note(error, ("steps", index), step)

    def _note(self, error: ValidationError, path: DocumentPath, value: Any) -> None:
        for fault in error.errors(include_url=False, include_context=False):
            self.shape.append(
                ShapeError((*path, *existing(value, fault["loc"])), fault["type"], fault["msg"], fault["input"])
            )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What references may name."""
        setters: dict[str, list[tuple[DraftStep, str]]] = {}
        for step in self.steps:
            for variable, output_field in step.step.outputs.items():
                setters.setdefault(variable, []).append((step, output_field))
            stored = step.step.parameters.get("variable")
            if step.step.step_type is StepType.READ_FILE and isinstance(stored, str) and "{{" not in stored:
                setters.setdefault(stored, []).append((step, "content"))
        return Vocabulary(
            steps=self.by_id,
            variables=frozenset(self.header.variables)
            | {given.name for given in self.header.parameters}
            | self.given_variables,
            setters=setters,
        )

    @cached_property
    def dependencies(self) -> dict[int, list[Dependency]]:
        """Per step index its edges, each upstream once: ``depends_on`` first, then what references add (§2.1)."""
        edges: dict[int, list[Dependency]] = {}
        for step in self.steps:
            here: dict[int, Dependency] = {}
            for place, name in enumerate(step.step.depends_on):
                upstream = self.by_id.get(name)
                if upstream is not None:
                    here.setdefault(
                        upstream.index, Dependency(upstream.index, (*step.path, "depends_on", place), inferred=False)
                    )
            for use in step.uses:
                if use.reads is not None and (upstream := self.by_id.get(use.reads)) is not None:
                    here.setdefault(
                        upstream.index,
                        Dependency(upstream.index, use.path, inferred=True, within=use.written.text),
                    )
            edges[step.index] = list(here.values())
        return edges

    @cached_property
    def ancestry(self) -> Ancestry:
        return Ancestry(
            {
                index: [dependency.upstream for dependency in dependencies]
                for index, dependencies in self.dependencies.items()
            }
        )

    def mission(self) -> Mission:
        """The mission as the specification's type; only for a draft without errors."""
        fields = {name: getattr(self.header, name) for name in MissionHeader.model_fields}
        return Mission.model_construct(
            _fields_set={*self.header.model_fields_set, "steps"}, **fields, steps=[step.step for step in self.steps]
        )


class Ancestry:
    """Which steps come before which, however long the way; computed for the steps that are asked about."""

    def __init__(self, upstream: Mapping[int, list[int]]) -> None:
        self._upstream = upstream
        self._ancestors: dict[int, int] = {}

    def precedes(self, first: int, second: int) -> bool:
        """Whether ``second`` depends on ``first``, directly or not."""
        return bool(self._bits(second) >> first & 1)

    def _bits(self, index: int) -> int:
        """The ancestors of a step as a set of bits, by index."""
        pending = [index]
        known = self._ancestors
        entered: set[int] = set()
        while pending:
            here = pending[-1]
            if here in known:
                pending.pop()
                continue
            if here not in entered:
                entered.add(here)
                waiting = [up for up in self._upstream.get(here, ()) if up not in known and up not in entered]
                if waiting:
                    pending.extend(waiting)
                    continue
            bits = 0
            for up in self._upstream.get(here, ()):
                bits |= 1 << up | known.get(up, 0)
            known[here] = bits
            pending.pop()
        return known[index]


def existing(value: Any, location: tuple[int | str, ...]) -> DocumentPath:
    """A pydantic location as a path into the value: names of union members and functions are left out."""
    path: list[str | int] = []
    for place, segment in enumerate(location):
        if isinstance(value, Mapping) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and isinstance(segment, int) and segment < len(value):
            value = value[segment]
        elif place == len(location) - 1 and isinstance(value, Mapping) and isinstance(segment, str):
            value = None
        else:
            continue
        path.append(segment)
    return tuple(path)
