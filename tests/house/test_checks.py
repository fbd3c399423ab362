"""Laws of the checks: every code is one rule's, has a page, and has been seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustchain_airflow.check import rules
from rustchain_airflow.check.rule import Rule
from rustchain_airflow.codegen.compile import FAULTS as COMPILE_FAULTS
from rustchain_airflow.source import FAULTS as SOURCE_FAULTS

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {**SOURCE_FAULTS, **COMPILE_FAULTS}
CODES = [*FAULTS, *(rule.code for rule in rules())]

NOT_IN_A_FILE = {
    "RC010": "takes fifty million values",
    "RC016": "there is no file",
    "RC017": "the file is a directory",
    "RC018": "the file cannot be opened",
    "RC019": "the file is a pipe or a device",
    "RC020": "the file is larger than the limit",
    "RC023": "the file changes while it is read",
    "RC111": "takes two hundred thousand steps",
    "RC602": "comes from compiling",
    "RC603": "takes two files",
}
"""Codes that no mission file of a few lines can show: other tests raise them."""


def shown() -> set[str]:
    """The codes of all golden findings and of the pages both engines are held to."""
    texts = [*(ROOT / "tests" / "missions" / "bad").glob("*.out"), *(ROOT / "docs" / "semantics").glob("*.md")]
    return {code for path in texts for code in re.findall(r"\bRC\d{3}\b", path.read_text(encoding="utf-8"))}


def raised_in_tests() -> set[str]:
    """The codes that tests outside this room name."""
    return {
        code
        for path in (ROOT / "tests").rglob("test_*.py")
        if path.parent != Path(__file__).parent
        for code in re.findall(r"\bRC\d{3}\b", path.read_text(encoding="utf-8"))
    }


def pages() -> Iterator[tuple[str, str, str]]:
    for code, (slug, page) in FAULTS.items():
        yield code, slug, page
    for rule in rules():
        yield rule.code, rule.slug, rule.page


def test_codes_and_slugs_are_unique() -> None:
    """A code means one thing, and so does a slug."""
    assert len(set(CODES)) == len(CODES)
    slugs = [slug for _, slug, _ in pages()]
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.slug)
def test_module_is_named_like_its_rule(rule: Rule) -> None:
    """The rule `unknown-key` is the function unknown_key of the module of that name, which opens with its code."""
    module = rule.find.__module__.rpartition(".")[2]
    assert (module, rule.find.__name__) == (rule.slug.replace("-", "_"),) * 2
    text = (ROOT / "rustchain_airflow" / "check" / f"{module}.py").read_text(encoding="utf-8")
    assert text.startswith(f'"""{rule.code}: ')


@pytest.mark.parametrize(
    ("code", "slug", "page"), list(pages()), ids=lambda part: part if str(part).startswith("RC") else ""
)
def test_page(code: str, slug: str, page: str) -> None:
    """Every code has a page that says what is wrong and what to do, and the index leads to it."""
    assert page.strip().endswith((".", "`"))
    assert f"# {code} {slug}" in (ROOT / "docs" / "checks" / f"{code}.md").read_text(encoding="utf-8")
    assert f"[{code}]({code}.md)" in (ROOT / "docs" / "checks" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", CODES)
def test_shown(code: str) -> None:
    """Every code is in a golden finding or on a page of the semantics, or a test raises what no small file can show."""
    if code in NOT_IN_A_FILE:
        assert code in raised_in_tests()
    else:
        assert code in shown()
