"""What all tests share: the modules of this folder, and a summary of the servers that were missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import services


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests went without a real server, so that their absence is not taken for success."""
    lines = _missing(terminalreporter)
    if lines:
        terminalreporter.section("missing services", yellow=True)
        for line in lines:
            terminalreporter.write_line(line)


def _missing(terminalreporter: pytest.TerminalReporter) -> list[str]:
    """One line a service and reason, counted from the skips, as those of other processes are in no counter here."""
    counted: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if services.is_missing(reason):
            counted[reason] = counted.get(reason, 0) + 1
    return [f"{count} tests: {reason}" for reason, count in sorted(counted.items())]
