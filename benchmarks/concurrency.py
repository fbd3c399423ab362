"""Sleeping steps under a limit: what the executor adds to the time that the steps themselves take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import RUSTCHAIN
from benchmarks.measure import Program, Row, medians

STEPS, LIMIT, SECONDS = 64, 16, 0.5


def rows(folder: Path) -> Iterator[Row]:
    sleeping, one = folder / "sleeping.yaml", folder / "one.yaml"
    steps = [f"  - {{id: s{n}, step_type: command, parameters: {{command: sleep {SECONDS}}}}}" for n in range(STEPS)]
    sleeping.write_text("\n".join([f"config: {{max_concurrent_steps: {LIMIT}}}", "steps:", *steps, ""]))
    one.write_text("steps:\n  - {id: s, step_type: noop}\n")
    start_up, run = medians(
        *(Program([RUSTCHAIN, "run-local", mission, "--workspace", folder / "work"]) for mission in (one, sleeping))
    )
    ideal = SECONDS * STEPS / LIMIT + start_up.wall_seconds
    detail = f"{run.wall_seconds:.2f} s, ideal {ideal:.2f} s with {start_up.wall_seconds:.2f} s start-up"
    what = f"{STEPS} steps of sleep {SECONDS}, {LIMIT} at a time / ideal"
    yield Row(what, run.wall_seconds / ideal, 1.15, detail)
