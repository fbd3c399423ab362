"""Laws of the package: what is built is what stands in the tree, under one top-level name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = "rustchain_airflow/operators"


def checkout(target: Path, *, link: bool) -> Path:
    """A copy of the tracked files, as a clone gives them; without the link on systems that have none."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if name == LINK:
            assert source.is_symlink()
            if link:
                copy.symlink_to("../operators")
        elif source.is_file():
            shutil.copyfile(source, copy)
    return target


def build(folder: Path, *arguments: str) -> Path:
    """The one file that a build of this kind leaves."""
    command = [sys.executable, "-m", "build", "--no-isolation", *arguments, "--outdir", folder / "built", folder]
    ran = subprocess.run(
        [str(word) for word in command], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = (folder / "built").iterdir()
    return built


def built_from_sdist(folder: Path) -> Path:
    sdist = build(checkout(folder / "clone", link=True), "--sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build(unpacked, "--wheel")


ORIGINS = {
    "clone": lambda folder: build(checkout(folder / "clone", link=True), "--wheel"),
    "clone without links": lambda folder: build(checkout(folder / "clone", link=False), "--wheel"),
    "source distribution": built_from_sdist,
}


@pytest.fixture(scope="module", params=list(ORIGINS.values()), ids=list(ORIGINS))
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    built: Path = request.param(tmp_path_factory.mktemp("wheel"))
    return built


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_modules(wheel: Path) -> None:
    """The wheel holds every module of the tree, and no other file but the mark of a typed package."""
    tracked = subprocess.run(
        ["git", "ls-files", "rustchain_airflow", "operators"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    modules = {
        name.replace("operators/", f"{LINK}/", 1) if name.startswith("operators/") else name
        for name in tracked
        if name.endswith(".py") and (ROOT / name).is_file()
    }
    assert contents(wheel) == modules | {"rustchain_airflow/py.typed"}


def test_one_name(wheel: Path) -> None:
    """Installing it brings one top-level name: a package called operators would collide with what deployments have."""
    assert {PurePosixPath(name).parts[0] for name in contents(wheel)} == {"rustchain_airflow"}


def test_entry_points(wheel: Path) -> None:
    """The wheel declares its command and tells Airflow that it is a provider."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    assert "rustchain-airflow = rustchain_airflow.cli:main" in text
    assert "[apache_airflow_provider]\nprovider_info = " in text


def test_runs(wheel: Path, tmp_path: Path) -> None:
    """The wheel's code runs from where it is unpacked, and finds its operators."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import importlib.util, rustchain_airflow\n"
        "from rustchain_airflow.check import check_text\n"
        "assert check_text('steps: [{id: a, step_type: noop}]').ok\n"
        "print(rustchain_airflow.__file__, importlib.util.find_spec('rustchain_airflow.operators').origin)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout.split() == [str(tmp_path / name / "__init__.py") for name in ("rustchain_airflow", LINK)], (
        ran.stderr
    )
