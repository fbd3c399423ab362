"""Policy: what the people who run missions allow them, apart from what each mission says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits one run is held to. Defaults are the standard policy."""

    max_output_bytes: int = 64 * 1024 * 1024
    """Largest output of one step, as JSON: beyond it the step fails (semantics §10.6)."""
    stop_grace_seconds: float = 2.0
    """Time a stopped step has between TERM and KILL (semantics §5.3)."""
