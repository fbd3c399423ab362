"""docker-compose.yaml keeps to the compose specification, and to what a deployment owes its owner.

It is read here, not run: that takes a Docker engine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

AIRFLOW = sorted(name for name, service in SERVICES.items() if "build" in service)
OTHERS = sorted(set(SERVICES) - set(AIRFLOW))

VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\})")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY|TOKEN|AUTH$")


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables filled in, as compose does; KeyError for a required one without a value."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        return match["word"] if match["kind"] == "-" and match["name"] not in values else values[match["name"]]

    return VARIABLE.sub(value, text)


def variables() -> dict[str, str | None]:
    """The variables the file reads, with their defaults."""
    found = (match for match in VARIABLE.finditer(TEXT) if match["name"])
    return {match["name"]: match["word"] if match["kind"] == "-" else None for match in found}


def example_names() -> list[str]:
    return re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE)


def published() -> Iterator[tuple[str, str]]:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            yield name, port


def test_compose_specification() -> None:
    """A parser of the compose specification, which knows every key and type of it, takes the file."""
    merged = yaml.safe_load(interpolated(TEXT, dict.fromkeys(example_names(), "x")))  # the parser knows no merge keys
    compose = PyCompose.from_json(json.dumps(merged))
    assert compose.service_names() == list(SERVICES)


@pytest.mark.parametrize(
    "service",
    [{"image": "nginx", "helthcheck": {"disable": True}}, {"image": "nginx", "ports": ["http"]}],
    ids=["unknown key", "no port"],
)
def test_the_parser_is_strict(service: dict[str, Any]) -> None:
    """That parser would notice a misspelt key or a malformed value."""
    with pytest.raises(ValueError, match=r"."):
        PyCompose.from_json(json.dumps({"services": {"web": service}}))


def test_no_secret_has_a_default() -> None:
    """Every secret has to be given: the file holds none, and no value that stands in for one."""
    assert [name for name, default in variables().items() if SECRET.search(name) and default is not None] == []
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name) and not name.endswith("PASSWORDS_FILE") and not name.startswith("MARIADB_RANDOM"):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    literals = re.findall(r"://[^/\s]*:([^@/\s]*)@", VARIABLE.sub("", TEXT))
    assert literals
    assert set(literals) == {""}


def test_example_environment() -> None:
    """.env.example names what has to be given, and nothing else; its own command fills all of it in at random."""
    required = [name for name, default in variables().items() if default is None]
    assert sorted(example_names()) == sorted(required)
    assert re.findall(r"^\w+=(.+)", EXAMPLE, re.MULTILINE) == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command of .env.example runs openssl")
def test_example_environment_command(tmp_path: Path) -> None:
    """The command in .env.example makes a .env that is private, complete, and fit for URLs and for Fernet."""
    shutil.copy(ROOT / ".env.example", tmp_path)
    (command,) = re.findall(r"^# +(while .*)$", EXAMPLE, re.MULTILINE)
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
    values = dict(re.findall(r"^(\w+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert sorted(values) == sorted(example_names())
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}=", value) for value in values.values())
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert (tmp_path / ".env.example").read_text() == EXAMPLE


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_health(name: str) -> None:
    """Every service that goes on says whether it is healthy; the one that does not is waited for to its end."""
    if name == "init":
        waiting = [each for each in AIRFLOW if each != "init"]
        wanted = {"condition": "service_completed_successfully"}
        assert all(SERVICES[each]["depends_on"]["init"] == wanted for each in waiting)
    else:
        assert SERVICES[name]["healthcheck"]["test"]


def test_ports_are_of_this_machine() -> None:
    """What is published is published on 127.0.0.1 only; database and queue are not published at all."""
    assert all(port.startswith("127.0.0.1:") for _, port in published())
    assert {name for name, _ in published() if "profiles" not in SERVICES[name]} == {"api-server"}


@pytest.mark.parametrize("image", sorted({SERVICES[name]["image"] for name in OTHERS}))
def test_images_are_pinned(image: str) -> None:
    """An image is named with its exact version."""
    assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image)


def test_own_image() -> None:
    """The image of Airflow is pinned, compiled to bytecode, held to the constraints, and keeps clear of Celery 5.7."""
    assert re.search(r"^FROM python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"PYTHONDONTWRITEBYTECODE=(\s|$)", DOCKERFILE)
    installs = re.findall(r"^RUN pip install (.*)", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    assert all(install.startswith("--constraint /tmp/constraints.txt") for install in installs)
    assert re.search(r'"celery\[redis\][^"]*<5\.7"', DOCKERFILE)
    assert re.search(r"^USER airflow$", DOCKERFILE, re.MULTILINE)
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert {SERVICES[name]["image"] for name in AIRFLOW} == {f"rustchain-airflow:{version[1]}"}


def test_image_gets_what_it_copies() -> None:
    """What the image copies is there, and is not kept from it by .dockerignore."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.removeprefix("--chmod=755 ").split()[:-1]
    }
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_workers_share_the_workspace() -> None:
    """Two Celery workers, and one workspace for all that run steps (semantics §10.5)."""
    worker = SERVICES["worker"]
    assert worker["deploy"]["replicas"] == 2
    assert worker["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    for name in AIRFLOW:
        root = SERVICES[name]["environment"]["RUSTCHAIN_WORKSPACE_ROOT"]
        assert f"workspaces:{root}" in SERVICES[name]["volumes"], name


def test_missions_of_the_dags_folder() -> None:
    """Every component compiles the missions of ./dags, mounted read-only, for itself."""
    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        (bundle,) = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
        assert bundle["classpath"] == "rustchain_airflow.provider.bundle.MissionDagBundle"
        assert f"./dags:{bundle['kwargs']['path']}:ro" in SERVICES[name]["volumes"]
        storage = environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"]
        assert not any(storage == volume.split(":")[1] for volume in SERVICES[name]["volumes"])


def test_components() -> None:
    """The components of a whole Airflow are there."""
    commands = {" ".join(SERVICES[name]["command"]) for name in AIRFLOW if name != "init"}
    assert commands == {
        "airflow api-server",
        "airflow scheduler",
        "airflow dag-processor",
        "airflow triggerer",
        "airflow celery worker",
    }
