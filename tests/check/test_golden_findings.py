"""Every file of tests/missions/bad is refused with exactly the findings beside it; those of missions/ok are silent.

A new case is two files and no code: write x.yaml, and `RUSTCHAIN_UPDATE_GOLDEN=1 pytest` writes x.yaml.out for review.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rustchain_airflow.check import check_file
from rustchain_airflow.diagnostics import Severity, text

MISSIONS = Path(__file__).resolve().parent.parent / "missions"
BAD = sorted(path for path in (MISSIONS / "bad").iterdir() if path.suffix in (".yaml", ".json"))
OK = sorted(path for path in (MISSIONS / "ok").iterdir() if path.suffix in (".yaml", ".json"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_bad_missions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All findings of a bad mission come in one pass, sorted by place, each with what it says and how it looks."""
    monkeypatch.chdir(path.parent)
    checked = check_file(path.name)
    assert any(finding.severity is Severity.ERROR for finding in checked.diagnostics)
    assert not checked.ok
    rendered = f"{text.render(checked.diagnostics)}\n{text.summary(checked.diagnostics)}\n"
    golden = path.with_name(f"{path.name}.out")
    if os.environ.get("RUSTCHAIN_UPDATE_GOLDEN"):
        golden.write_text(rendered, encoding="utf-8")
    assert rendered == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", OK, ids=lambda path: path.name)
def test_ok_missions(path: Path) -> None:
    """A mission that may surprise but is right has no finding at all."""
    checked = check_file(path)
    assert not checked.diagnostics
    assert checked.ok
