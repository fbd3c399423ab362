"""The programs this family runs: where they are found, and what to install where they are not."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from rustchain_airflow.steps.sdk import ProcessResult, StepContext, StepError, StepRefused

PLAIN_OUTPUT: Final = {"LC_ALL": "C.UTF-8", "NO_COLOR": "1", "TERM": "dumb"}
"""Environment in which compilers and linters speak untranslated and without colours, as their readers expect."""

MAX_REPORT_BYTES: Final = 32 * 1024 * 1024
"""How much a tool may say on one stream where what it says is read by us, and not only shown."""

MAX_SHOWN_CHARACTERS: Final = 256 * 1024
"""How much of a tool's text an output holds: the end, where tools say what matters."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FILE_AND_PLACE = re.compile(r"\S+:\d+:\d+:")
_PLACE = re.compile(r"[:(\[]\d+[:,)\]]")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, by the names it may have, and how a person gets it."""

    names: tuple[str, ...]
    install: str
    beside_python: bool = False
    """Installed into the environment this runs in, by the extra [code]: it need not be on the PATH."""
    node: bool = False
    """A project may bring its own in node_modules, which goes before the one on the PATH."""


RUFF = Tool(("ruff",), 'pip install "rustchain-airflow[code]"', beside_python=True)
BLACK = Tool(("black",), "pip install black", beside_python=True)
CARGO = Tool(("cargo",), "Debian package cargo, or rustup")
RUSTC = Tool(("rustc",), "Debian package rustc, or rustup")
RUSTFMT = Tool(("rustfmt",), "rustup component add rustfmt, or Debian package rustfmt")
CLIPPY = Tool(("cargo-clippy",), "rustup component add clippy, or Debian package rust-clippy")
CLIPPY_DRIVER = Tool(("clippy-driver",), "rustup component add clippy, or Debian package rust-clippy")
GO = Tool(("go",), "Debian package golang-go")
GOFMT = Tool(("gofmt",), "Debian package golang-go")
GCC = Tool(("gcc", "cc", "clang"), "Debian package gcc")
GXX = Tool(("g++", "c++", "clang++"), "Debian package g++")
CLANG_FORMAT = Tool(("clang-format",), "pip install clang-format, or Debian package clang-format", beside_python=True)
CLANG_TIDY = Tool(("clang-tidy",), "pip install clang-tidy, or Debian package clang-tidy", beside_python=True)
JAVAC = Tool(("javac",), "Debian package default-jdk-headless")
MAVEN = Tool(("mvn",), "Debian package maven")
GRADLE = Tool(("gradle",), "Debian package gradle")
NODE = Tool(("node", "nodejs"), "Debian package nodejs")
NPM = Tool(("npm",), "Debian package npm")
TSC = Tool(("tsc",), "npm install --save-dev typescript", node=True)
ESLINT = Tool(("eslint",), "npm install --save-dev eslint", node=True)
PRETTIER = Tool(("prettier",), "npm install --save-dev prettier", node=True)
MAKE = Tool(("make",), "Debian package make")


def find(context: StepContext, tool: Tool, *, project: str = ".") -> str:
    """The program to run for a tool. StepRefused, saying how to get it, where there is none."""
    if tool.node and (local := _in_node_modules(context, tool, project)):
        return local
    for name in tool.names:
        if found := shutil.which(name, path=context.environment.get("PATH", os.defpath)):
            return found
    if tool.beside_python:
        for name in tool.names:
            if found := shutil.which(name, path=str(Path(sys.executable).parent)):
                return found
    raise StepRefused(f"{tool.names[0]} is not installed; get it with: {tool.install}")


def _in_node_modules(context: StepContext, tool: Tool, project: str) -> str | None:
    for folder in (project, *upwards(project)):
        for name in tool.names:
            path = f"{folder}/node_modules/.bin/{name}"
            with suppress(StepRefused):  # a link that leaves the workspace: as good as not there
                if context.workspace.entry(path) is not None:
                    return str(context.workspace.locate(path))
    return None


def upwards(folder: str) -> list[str]:
    """The folders above one, up to the workspace; none above an absolute path or one that starts with ``..``."""
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        return []
    return [str(parent) for parent in path.parents]


def folder_of(context: StepContext, path: str) -> str:
    """The folder a path is, or lies in."""
    entry = context.workspace.entry(path)
    if entry is None:
        raise StepError(f"no such file: {path}")
    return path if entry.is_dir else str(PurePosixPath(path).parent)


def pythons(context: StepContext, project: str) -> list[str]:
    """Interpreters a Python project may want, most wanted first: its own, the one on the PATH, the one this runs in."""
    home = context.workspace.locate(project)
    environments = [home / folder / "bin" / "python" for folder in (".venv", "venv")]
    own = [str(python) for python in environments if os.access(python, os.X_OK)]
    on_path = [
        found
        for name in ("python3", "python")
        if (found := shutil.which(name, path=context.environment.get("PATH", os.defpath)))
    ]
    return [*own, *on_path, sys.executable]


def run(
    context: StepContext, arguments: list[str], *, working_dir: str = ".", stdin: str | None = None
) -> ProcessResult:
    """Run a tool whose text is read by us. StepError where it says more than can be read."""
    result = context.processes.run(
        arguments, working_dir=working_dir, environment=PLAIN_OUTPUT, stdin=stdin, max_output_bytes=MAX_REPORT_BYTES
    )
    if result.truncated:
        raise StepError(
            f"{Path(arguments[0]).name} said more than {MAX_REPORT_BYTES // 1024 // 1024} MiB; give it fewer files"
        )
    return result


def shown(text: str) -> str:
    """A tool's text as an output holds it: without colours, and only the end of it where it is long."""
    text = _COLOURS.sub("", text)
    left_out = len(text) - MAX_SHOWN_CHARACTERS
    return text if left_out <= 0 else f"[{left_out} characters left out]\n{text[left_out:]}"


def first_fault(result: ProcessResult) -> str:
    """The line of a failed tool's text that most likely says why: an error with its place, if there is one."""
    lines = [line.strip() for text in (result.stderr, result.stdout) for line in _COLOURS.sub("", text).splitlines()]
    errors = [line for line in lines if "error" in line.lower()]
    placed = [line for line in errors if _PLACE.search(line)]
    files = [line for line in lines if _FILE_AND_PLACE.match(line)]
    said = next(iter([*placed, *files, *errors, *reversed([line for line in lines if line])]), "")
    return said[:300] or f"exit code {result.exit_code}"
