"""What running a program costs, and how a benchmark says what it found."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROUNDS = 5


class Cost(NamedTuple):
    """What one run of a program and of all it waited for took."""

    processor_seconds: float
    wall_seconds: float
    peak_bytes: int
    """The largest resident size of any one of its processes, or of this one: Linux counts what stood before exec."""


class Row(NamedTuple):
    """One line of the table: ``measured`` is a ratio, to be held against ``bound``."""

    what: str
    measured: float | None
    """None where it could not be measured; ``detail`` then says why."""
    bound: float
    detail: str = ""
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "skipped"
        return "ok" if self.measured <= self.bound else "over"


class Program(NamedTuple):
    """A program to measure; ``before`` runs in front of each measurement and is not measured."""

    arguments: Sequence[str | Path]
    working_dir: Path | None = None
    before: Callable[[], object] | None = None


def environment() -> Mapping[str, str]:
    """This environment, with bytecode and without what would make a run unlike a user's."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYDANTIC_DISABLE_PLUGINS")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def cost(program: Program) -> Cost:
    """Run a program to its end. Raises RuntimeError with what it printed when it fails."""
    if program.before is not None:
        program.before()
    with subprocess.Popen(
        [str(argument) for argument in program.arguments],
        cwd=program.working_dir,
        env=dict(environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        began = time.monotonic()
        assert process.stderr is not None
        printed = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        command = " ".join(map(str, program.arguments))
        raise RuntimeError(f"{command} ended with {process.returncode}: {printed.decode(errors='replace')[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024)


def medians(*programs: Program, rounds: int = ROUNDS) -> list[Cost]:
    """The median costs of programs that take turns, so that a busy moment falls on all of them.

    Each runs once before: bytecode and file cache are warm, as they are for whoever runs a thing twice.
    """
    for program in programs:
        cost(program)
    runs = [[cost(program) for program in programs] for _ in range(rounds)]
    return [Cost(*map(statistics.median, zip(*costs, strict=True))) for costs in zip(*runs, strict=True)]
