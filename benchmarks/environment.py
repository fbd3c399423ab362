"""The environment under measure: rustchain-airflow as users install it, beside the peers it is compared with."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import environment

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / ".env"
BIN = FOLDER / "bin"
PYTHON = BIN / "python"
RUSTCHAIN = BIN / "rustchain-airflow"

PEERS = ("dag-factory==1.1.0",)
EXTRAS = "airflow,data"


def prepare() -> None:
    """Make the environment, or bring it up to date; says so, because the first time takes minutes."""
    constraints = ROOT / "constraints.txt"
    dependencies = _digest([constraints, ROOT / "pyproject.toml"], *PEERS, EXTRAS, sys.version)
    if _mark("dependencies") != dependencies:
        print("making benchmarks/.env (once, some minutes) ...", flush=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True, env=dict(environment()))
        with tempfile.TemporaryDirectory() as copy:
            _copy_sources(Path(copy))
            _pip("--constraint", str(constraints), f"{copy}[{EXTRAS}]", *PEERS)
        _set_mark("dependencies", dependencies)
    code = _digest(_sources())
    if _mark("code") != code:
        with tempfile.TemporaryDirectory() as copy:
            _copy_sources(Path(copy))
            _pip("--no-deps", "--force-reinstall", copy)
        _set_mark("code", code)


def _pip(*arguments: str) -> None:
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile", *arguments]
    subprocess.run(install, check=True, env=dict(environment()))


def _sources() -> Iterator[Path]:
    for folder in ("rustchain_airflow", "operators"):
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def _copy_sources(target: Path) -> None:
    """What a build needs; building in the tree itself would leave its traces there."""
    for path in (*_sources(), ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "rustchain_airflow" / "py.typed"):
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _digest(files: Iterator[Path] | list[Path], *words: str) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _mark(name: str) -> str | None:
    file = FOLDER / f"{name}.sha256"
    return file.read_text() if file.exists() else None


def _set_mark(name: str, digest: str) -> None:
    (FOLDER / f"{name}.sha256").write_text(digest)
