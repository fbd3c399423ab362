"""Programming languages: the names missions give them, and the suffixes of their files."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import PurePosixPath

from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused


class Language(StrEnum):
    """A language that steps of this family know."""

    PYTHON = "python"
    RUST = "rust"
    GO = "go"
    C = "c"
    CPP = "cpp"
    JAVA = "java"
    TYPESCRIPT = "typescript"
    JAVASCRIPT = "javascript"
    RUBY = "ruby"
    PHP = "php"


SUFFIXES = {
    Language.PYTHON: (".py", ".pyi"),
    Language.RUST: (".rs",),
    Language.GO: (".go",),
    Language.C: (".c", ".h"),
    Language.CPP: (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"),
    Language.JAVA: (".java",),
    Language.TYPESCRIPT: (".ts", ".tsx", ".mts", ".cts"),
    Language.JAVASCRIPT: (".js", ".mjs", ".cjs", ".jsx"),
    Language.RUBY: (".rb",),
    Language.PHP: (".php",),
}

HEADERS = (".h", ".hpp", ".hh", ".hxx")

_OF_SUFFIX = {suffix: language for language, suffixes in SUFFIXES.items() for suffix in suffixes}

_ALIASES = {
    "py": Language.PYTHON,
    "python3": Language.PYTHON,
    "rs": Language.RUST,
    "golang": Language.GO,
    "c++": Language.CPP,
    "cc": Language.CPP,
    "ts": Language.TYPESCRIPT,
    "tsx": Language.TYPESCRIPT,
    "js": Language.JAVASCRIPT,
    "node": Language.JAVASCRIPT,
    "nodejs": Language.JAVASCRIPT,
    "rb": Language.RUBY,
}

_PROJECT_FILES = {
    "Cargo.toml": Language.RUST,
    "go.mod": Language.GO,
    "tsconfig.json": Language.TYPESCRIPT,
    "pyproject.toml": Language.PYTHON,
    "setup.py": Language.PYTHON,
    "pom.xml": Language.JAVA,
    "package.json": Language.JAVASCRIPT,
}
"""What a file at the top of a project says about its language; the first one that is there decides."""

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "target", "venv", "site-packages"})
"""Folders that hold what tools made or fetched; those whose name starts with a dot are skipped as well."""


def named(name: str, among: Iterable[Language]) -> Language:
    """The language a mission means by a name. StepRefused for one that is not ``among`` those a step takes."""
    text = name.strip().lower()
    found = _ALIASES.get(text) or (Language(text) if text in set(Language) else None)
    known = list(among)
    if found not in known:
        raise StepRefused(f'language "{name}" is not supported here; known are {", ".join(known)}')
    return found


def of_path(path: str) -> Language | None:
    """What the suffix of a file says; None where it says nothing."""
    return _OF_SUFFIX.get(PurePosixPath(path).suffix.lower())


def detect(context: StepContext, paths: Iterable[str], given: str | None, among: Iterable[Language]) -> Language:
    """The language given, else that of the files' suffixes, else of the project file in the folder.

    StepRefused where neither says it, or where files speak of several languages; StepError for a path
    that does not exist.
    """
    known = list(among)
    paths = list(paths)
    for path in paths:
        if context.workspace.entry(path) is None:
            raise StepError(f"no such file: {path}")
    if given is not None:
        return named(given, known)
    found = {language for path in paths if (language := _of_entry(context, path)) is not None}
    if found == {Language.C, Language.CPP}:  # C++ programs take C headers and sources along
        return Language.CPP
    if len(found) > 1:
        raise StepRefused(f"the files are of several languages ({', '.join(sorted(found))}); say which with language")
    if not found:
        raise StepRefused(f'the language of "{paths[0]}" cannot be told; say it with language: {", ".join(known)}')
    return named(found.pop(), known)


def _of_entry(context: StepContext, path: str) -> Language | None:
    entry = context.workspace.entry(path)
    assert entry is not None
    if not entry.is_dir:
        return of_path(path)
    for file, language in _PROJECT_FILES.items():
        if context.workspace.entry(f"{path}/{file}") is not None:
            return language
    inside = {found for file in _below(context, path) if (found := of_path(file)) is not None}
    if Language.TYPESCRIPT in inside:
        inside.discard(Language.JAVASCRIPT)
    if Language.CPP in inside:
        inside.discard(Language.C)
    if len(inside) > 1:
        names = ", ".join(sorted(inside))
        raise StepRefused(f'"{path}" holds files of several languages ({names}); say which with language')
    return inside.pop() if inside else None


def sources(context: StepContext, paths: Iterable[str], languages: Iterable[Language]) -> list[str]:
    """The files given, and those below the folders given that are in one of the languages.

    Hidden folders and those that hold what tools made are left out; links are not entered. StepError
    where a folder holds no such file.
    """
    suffixes = tuple(suffix for language in languages for suffix in SUFFIXES[language])
    found: list[str] = []
    for path in paths:
        entry = context.workspace.entry(path)
        if entry is None:
            raise StepError(f"no such file: {path}")
        inside = [file for file in _below(context, path) if file.endswith(suffixes)] if entry.is_dir else [path]
        if not inside:
            raise StepError(f'"{path}" holds no file with the suffix {" or ".join(suffixes)}')
        found += inside
    return list(dict.fromkeys(found))


def _below(context: StepContext, folder: str) -> list[str]:
    files: list[str] = []
    for entry in context.workspace.scan(folder):
        if entry.is_link:
            continue
        if not entry.is_dir:
            files.append(entry.path)
        elif not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
            files += _below(context, entry.path)
    return files
