"""DraftStep: a step while it is being checked, and the references in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from rustchain_airflow.expressions import Reference
from rustchain_airflow.mission import MissionStep
from rustchain_airflow.source import DocumentPath
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.sdk import StepImplementation


class Meaning(StrEnum):
    """What a reference turned out to name."""

    ENVIRONMENT = "environment"
    CONTEXT = "context"
    CONFIG = "config"
    MISSION = "mission"
    STEP = "step"
    BUILTIN = "builtin"
    UNKNOWN_STEP = "unknown-step"
    UNKNOWN_PROPERTY = "unknown-property"
    UNKNOWN_NAME = "unknown-name"
    AMBIGUOUS = "ambiguous"


class Use(NamedTuple):
    """One reference where it stands, and what it means."""

    path: DocumentPath
    written: Reference
    meaning: Meaning
    reference: Reference
    """The canonical reference; the written one where there is no other."""
    reads: str | None = None
    """Id of the step whose result it needs."""
    single_brace: bool = False
    candidates: tuple[str, ...] = ()
    """Steps that an ambiguous shorthand could mean."""


@dataclass
class DraftStep:
    """A step whose shape is right."""

    index: int
    step: MissionStep
    uses: list[Use] = field(default_factory=list)
    """Every reference in its parameters."""

    @property
    def path(self) -> DocumentPath:
        return ("steps", self.index)

    @cached_property
    def implementation(self) -> StepImplementation | None:
        """The declaration of its step type; None while the type is not available."""
        return catalog.load(self.step.step_type) if catalog.available(self.step.step_type) else None

    def written_key(self, name: str) -> str:
        """The key under which the mission gives a parameter: the canonical name or an alias of it."""
        if self.implementation is not None and name not in self.step.parameters:
            for written in self.step.parameters:
                if self.implementation.declared.canonical.get(written) == name:
                    return written
        return name
