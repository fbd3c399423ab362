"""The program under test, in this process for tables and in one of its own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest
from click.testing import CliRunner, Result

from rustchain_airflow.cli import main

PROGRAM = (sys.executable, "-m", "rustchain_airflow.cli")


class Call(Protocol):
    """Call a command in this process; it may not end with a traceback, nor print an escape code."""

    def __call__(self, *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None) -> Result: ...


class Program(Protocol):
    """Run the program in a process of its own, without a terminal."""

    def __call__(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]: ...


class _EntryPoint:
    """The program's entry point where click's runner wants a command: the whole of ``main`` is run, its end too."""

    name = "rustchain-airflow"

    def main(self, args: Any = (), **_: Any) -> NoReturn:
        main(list(args))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands are called in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else main would set it for good

    def run(*arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        result = CliRunner().invoke(_EntryPoint(), arguments, input=stdin, env=env)  # type: ignore[arg-type]
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output
        return result

    yield run
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def program(here: Path) -> Program:
    def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *arguments],
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=here,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
