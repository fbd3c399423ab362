"""Mission, MissionStep, MissionConfig: the specification's types, as a mission file holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rustchain_airflow.step_type import StepType

__all__ = ["Mission", "MissionConfig", "MissionInput", "MissionStep", "StepType"]

STEP_ID = r"^[A-Za-z0-9_.-]{1,200}$"
"""What a step id may be (semantics §1.3)."""

IGNORED_PREFIX = "x-"
"""Keys that are nobody's business but the author's (semantics §1.5)."""


def _number(value: Any) -> Any:
    """A number given as text, where it parses; nothing else is coerced."""
    if isinstance(value, str):
        try:
            number = float(value) if value and "_" not in value else value
        except ValueError:
            return value
        return int(number) if isinstance(number, float) and number.is_integer() else number
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Boolean = Annotated[bool, BeforeValidator(_boolean)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_number)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000), BeforeValidator(_number)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)


class MissionConfig(_Part):
    """Settings of the whole mission (specification, "Mission Configuration")."""

    timeout_seconds: Seconds | None = Field(None, description="Bounds the whole mission, in seconds.")
    fail_fast: Boolean | None = Field(None, description="Start nothing new after a strict failure; default true.")
    max_concurrent_steps: Annotated[int, Field(ge=1), BeforeValidator(_number)] | None = Field(
        None, description="Steps that may run at the same time; default: the number of CPUs."
    )
    retry_attempts: Count | None = Field(None, description="Further attempts of a failed step; default 0.")
    retry_delay_ms: Count | None = Field(None, description="Delay between attempts, in milliseconds.")


class MissionStep(_Part):
    """One step of a mission (specification §2)."""

    id: Annotated[str, Field(pattern=STEP_ID, description="Unique id, for dependencies and references.")]
    name: str = Field("", description="What people read; default: the id.")
    step_type: Annotated[StepType, Field(strict=False, description="What the step does.")]
    depends_on: list[str] = Field([], description="Steps that must have ended first.")
    timeout_seconds: Seconds | None = Field(None, description="Bounds one attempt, in seconds; default 300.")
    continue_on_error: Boolean | None = Field(None, description="A failure of this step does not stop its dependents.")
    retry_attempts: Count | None = Field(None, description="Further attempts; default: the mission's.")
    retry_delay_ms: Count | None = Field(None, description="Delay between attempts; default: the mission's.")
    parameters: dict[str, Any] = Field({}, description="What the step type needs.")
    outputs: dict[str, str] = Field({}, description="Context variables this step sets: variable to output field.")
    airflow: dict[str, Any] = Field({}, description="For Airflow alone: pool, queue, priority …")


class MissionInput(_Part):
    """A typed input of the mission: an entry of root ``parameters:``."""

    name: str = Field(min_length=1, description="Name of the context variable.")
    type: Literal["string", "integer", "number", "boolean", "array", "object"] = Field(
        "string", description="JSON type of the value."
    )
    required: Boolean = Field(False, description="A run without a value is refused.")
    default: Any = Field(None, description="Value of a run that gives none.")
    enum: list[Any] | None = Field(None, description="The only values allowed.")
    minimum: float | None = Field(None, description="Smallest number allowed.")
    maximum: float | None = Field(None, description="Largest number allowed.")
    description: str | None = Field(None, description="Shown in the trigger form.")


class MissionHeader(_Part):
    """All of a mission but its steps."""

    version: str = Field("1.0", description="Version of the mission format.")
    name: str = Field(min_length=1, description="What people read; default: the file's name.")
    description: str | None = Field(None, description="What the mission is for.")
    config: MissionConfig = Field(
        default_factory=lambda: MissionConfig.model_construct(), description="Settings of the whole mission."
    )
    variables: dict[str, Any] = Field({}, description="Context variables and their values.")
    parameters: list[MissionInput] = Field([], description="Typed inputs of a run.")
    airflow: dict[str, Any] = Field({}, description="For Airflow alone: schedule, tags, owner …")


class Mission(MissionHeader):
    """A workflow: named steps and how they depend on each other (specification §1)."""

    steps: list[MissionStep] = Field(min_length=1, description="The steps; file order decides among ready ones.")


def default_name(file_name: str) -> str:
    """The name of a mission that has none: its file's stem (semantics §1.3)."""
    return Path(file_name).stem if file_name not in ("", "-") else "mission"
