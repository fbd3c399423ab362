"""StepResult and MissionResult: the outcome of a mission, and its one JSON form (semantics §6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rustchain_airflow.semantics import MissionStatus, StepStatus


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step ended. ``duration_ms`` covers all attempts and no waiting for a slot."""

    step_id: str
    status: StepStatus
    output: dict[str, Any] | None = None
    error: str | None = None
    duration_ms: int = 0
    attempts: int = 0
    retryable: bool = True
    """Whether another attempt could have helped; not part of the JSON form."""

    @classmethod
    def skipped(cls, step_id: str, error: str) -> StepResult:
        return cls(step_id, StepStatus.SKIPPED, error=error)

    def spanning(self, *, duration_ms: int, attempts: int) -> StepResult:
        """The same outcome, with the time and number of all its attempts."""
        return replace(self, duration_ms=duration_ms, attempts=attempts)

    def to_json(self) -> dict[str, Any]:
        return {
            "step_id": self.step_id,
            "status": self.status.value,
            "output": self.output,
            "error": self.error,
            "duration_ms": self.duration_ms,
            "attempts": self.attempts,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StepResult:
        return cls(
            step_id=value["step_id"],
            status=StepStatus(value["status"]),
            output=value["output"],
            error=value["error"],
            duration_ms=value["duration_ms"],
            attempts=value["attempts"],
        )


@dataclass(frozen=True, slots=True)
class MissionResult:
    """How a mission ended, with exactly one result a step, in file order."""

    status: MissionStatus
    step_results: dict[str, StepResult]
    total_duration_ms: int
    timestamp: datetime
    """When the mission started, in UTC."""
    mission: str
    run_id: str

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status.value,
            "step_results": {step_id: result.to_json() for step_id, result in self.step_results.items()},
            "total_duration_ms": self.total_duration_ms,
            "timestamp": self.timestamp.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "mission": self.mission,
            "run_id": self.run_id,
        }


def in_file_order(step_ids: Iterable[str], results: Mapping[str, StepResult]) -> dict[str, StepResult]:
    """The results as the mission lists its steps (semantics §3.5)."""
    return {step_id: results[step_id] for step_id in step_ids}
