"""Plan: a mission with everything decided that a back end could get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rustchain_airflow.expressions import Reference
from rustchain_airflow.step_type import Family, StepType

DEFAULT_STEP_TIMEOUT_SECONDS = 300
"""Time of one attempt of a step that sets none (semantics §5.3)."""

DEFAULT_RETRY_DELAY_MS = 1000
"""Delay between attempts where retries are set and no delay is."""


class Edge(NamedTuple):
    """A dependency of one step on another."""

    upstream: str
    tolerates_failure: bool = False
    """The upstream step has ``continue_on_error``: its own failure does not stop this step (semantics §3.2)."""
    inferred: bool = False
    """Not written in ``depends_on``: the step's parameters refer to the upstream step (semantics §2.1)."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, with its policy resolved and its references bound."""

    id: str
    name: str
    step_type: StepType
    position: int
    """Place in the file, from 0: what starts first among ready steps (semantics §2.4)."""
    parameters: Mapping[str, Any]
    """As the mission writes them, in the canonical dialect."""
    edges: tuple[Edge, ...] = ()
    """In file order: of several dependencies that stop a step, both engines name the first (semantics §3.3)."""
    attempts: int = 1
    retry_delay_ms: int = 0
    timeout_seconds: float = DEFAULT_STEP_TIMEOUT_SECONDS
    continue_on_error: bool = False
    bindings: Mapping[str, Reference] = field(default_factory=dict)
    """Reference as written to the reference it means, where the two differ (semantics §7.3, §7.4, §7.9)."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Context variable to the field of this step's output that it takes (semantics §7.4)."""
    airflow: Mapping[str, Any] = field(default_factory=dict)
    """The step's ``airflow:`` key; only the Airflow back end reads it (semantics §10.4)."""

    @property
    def family(self) -> Family:
        return self.step_type.family


class Input(NamedTuple):
    """A typed input of the mission: root ``parameters:`` (semantics §1.6)."""

    name: str
    type: str = "string"
    """A JSON Schema type name: string, integer, number, boolean, array or object."""
    required: bool = False
    default: Any = None
    enum: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A mission both back ends can schedule: steps in file order, edges closed, policy resolved."""

    name: str
    version: str
    description: str | None
    steps: tuple[PlannedStep, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    """The mission's ``config`` as written, in the canonical dialect: what ``{{ config.x }}`` reads."""
    fail_fast: bool = True
    max_concurrent_steps: int | None = None
    timeout_seconds: float | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    airflow: Mapping[str, Any] = field(default_factory=dict)
    """The root ``airflow:`` key (semantics §10.4)."""
    source_name: str = "mission.yaml"
    """The file the mission came from, as shown to people."""
    source_digest: str = ""
    """SHA-256 of the mission text, in hexadecimal."""

    def step(self, step_id: str) -> PlannedStep:
        """The step with this id; KeyError when there is none."""
        for planned in self.steps:
            if planned.id == step_id:
                return planned
        raise KeyError(step_id)
