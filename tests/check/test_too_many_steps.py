"""A mission with more steps than the limit."""

from __future__ import annotations

import sys

import pytest

from rustchain_airflow.check import check_text, rules


def test_rc111(monkeypatch: pytest.MonkeyPatch) -> None:
    """RC111 is found one step beyond the limit, not at it (semantics §1.2: 200,000)."""
    assert any(rule.code == "RC111" for rule in rules())
    room = sys.modules["rustchain_airflow.check.too_many_steps"]
    assert room.MAX_STEPS == 200_000
    monkeypatch.setattr(room, "MAX_STEPS", 3)
    steps = [f"  - {{id: s{n}, step_type: noop}}\n" for n in range(4)]
    assert check_text("steps:\n" + "".join(steps[:3])).ok
    (finding,) = check_text("steps:\n" + "".join(steps)).diagnostics
    assert finding.code == "RC111"
    assert "4 steps" in finding.message
