"""Patterns for names and paths."""

from __future__ import annotations

import pytest

from rustchain_airflow.steps.file.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "a", True),
        ("*", "a/b", False),
        ("*", "a\nb", True),
        ("*.py", "a.pyc", False),
        ("a.c", "abc", False),
        ("?", "☃", True),
        ("?", "/", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[!a]", "/", False),
        ("[]]", "]", True),
        ("[!]]", "]", False),
        ("[", "[", True),
        ("[a^]", "^", True),
        ("[\\]", "\\", True),
        ("**", "a/b/c", True),
        ("**/*", "a", True),
        ("**/*", "a/b", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**/c", "ab/c", False),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("*/b", "a/b", True),
        ("*/b", "a/a/b", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    """What each sign means, and that a slash is only matched by a slash or by `**`."""
    assert (compile_glob(pattern).fullmatch(path) is not None) is matches
