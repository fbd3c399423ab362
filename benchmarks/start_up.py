"""Whole processes on a mission of ten steps, against importing the two libraries that any reader of missions needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import PYTHON, RUSTCHAIN
from benchmarks.measure import Program, Row, medians

LIBRARIES = "import yaml; from pydantic import BaseModel"


def rows(folder: Path) -> Iterator[Row]:
    mission = folder / "ten.yaml"
    steps = [f"  - {{id: s{n}, step_type: noop, depends_on: {[f's{n - 1}'] if n else []}}}" for n in range(10)]
    mission.write_text("\n".join(["name: ten", "steps:", *steps, ""]))
    libraries, check, run = medians(
        Program([PYTHON, "-c", LIBRARIES]),
        Program([RUSTCHAIN, "check", mission]),
        Program([RUSTCHAIN, "run-local", mission, "--workspace", folder / "work"]),
    )
    base = libraries.processor_seconds
    for what, measured, bound in (("check of 10 steps / B", check, 2.0), ("run-local of 10 noop steps / B", run, 2.5)):
        seconds = measured.processor_seconds
        yield Row(what, seconds / base, bound, f"{seconds * 1000:.0f} ms, B = {base * 1000:.0f} ms processor time")
