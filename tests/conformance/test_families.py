"""For each family of step types one mission that uses them all, with equal results on both engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import network_servers as network
import services
import trustme
from airflow_runs import AirflowRuns, airflow_home, airflow_runs  # noqa: F401  (fixtures)
from engines import AIRFLOW, Ran, holding, read, run_airflow, run_local
from web_server import serve

from rustchain_airflow.step_type import Family, StepType
from rustchain_airflow.steps import catalog

MISSIONS = Path(__file__).parents[1] / "missions" / "families"
FAMILIES = sorted(path.stem for path in MISSIONS.glob("*.yaml"))
TOKEN = "t0ken-of-the-family"

# --- what the missions find around them ---------------------------------------------------------------

Surroundings = Callable[[], dict[str, str]]
"""Makes everything outside the workspace as it is before a run, and gives the environment that leads there."""


@contextmanager
def nothing() -> Iterator[Surroundings]:
    yield dict


@contextmanager
def a_web_server() -> Iterator[Surroundings]:
    with serve() as web:
        yield lambda: {"WEB_URL": web.url(""), "USER_ID": "42", "API_TOKEN": TOKEN}


@contextmanager
def a_fixed_date() -> Iterator[Surroundings]:
    """With it, equal commits have equal hashes."""
    yield lambda: {f"GIT_{role}_DATE": "2024-01-01T00:00:00Z" for role in ("AUTHOR", "COMMITTER")}


@contextmanager
def this_python() -> Iterator[Surroundings]:
    """The tools of the environment that runs the tests, before the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        yield dict


@contextmanager
def a_free_port() -> Iterator[Surroundings]:
    port = str(services.free_port())
    yield lambda: {"PORT": port, "PYTHON": sys.executable}


@contextmanager
def databases() -> Iterator[Surroundings]:
    with services.postgres() as shop, services.redis() as cache:

        def empty() -> dict[str, str]:
            from redis import Redis

            services.empty(shop)
            with Redis.from_url(cache.url) as client:
                client.flushdb()
            return {
                "AIRFLOW_CONN_SHOP": shop.url,
                "AIRFLOW_CONN_CACHE": cache.url,
                "SHOP_URL": shop.url,
                "CACHE_URL": cache.url,
            }

        yield empty


@contextmanager
def network_servers() -> Iterator[Surroundings]:
    with TemporaryDirectory() as folder, ExitStack() as servers:
        home = Path(folder)
        authority = network.Authority(trustme.CA(), home)
        ssh = servers.enter_context(network.sshd())
        ftp = servers.enter_context(network.ftp(home / "ftp", certificate=authority.server_pem, require_tls=True))
        websocket = servers.enter_context(network.websocket())

        def empty() -> dict[str, str]:
            rmtree(ftp.home)
            ftp.home.mkdir()
            return {
                "CA_PEM": authority.ca_pem,
                "FTP_PASSWORD": services.PASSWORD,
                "FTP_PORT": str(ftp.port),
                "FTP_URL": f"ftp://{network.USER}:{services.ENCODED_PASSWORD}@127.0.0.1:{ftp.port}",
                "FTP_USER": network.USER,
                "KNOWN_HOSTS": (ssh.home / "known_hosts").read_text(),
                "SSH_PORT": str(ssh.port),
                "SSH_PRIVATE_KEY": (ssh.home / "id_ed25519").read_text(),
                "SSH_URL": f"ssh://{ssh.user}@127.0.0.1:{ssh.port}",
                "SSH_USER": ssh.user,
                "WEBSOCKET_URL": f"ws://127.0.0.1:{websocket.port}",
            }

        yield empty


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Surroundings]]] = {
    "code": this_python,
    "control": a_web_server,
    "data": nothing,
    "database": databases,
    "file": nothing,
    "git": a_fixed_date,
    "network": network_servers,
    "system": a_free_port,
}


@pytest.fixture
def surroundings(family: str) -> Iterator[Surroundings]:
    with SURROUNDINGS[family]() as found:
        yield found


# --- what the missions tell ---------------------------------------------------------------------------

TOLD: dict[str, dict[str, Any]] = {
    "code": {
        "untidy": "Failed",
        "tidied": ["shop/price.py"],
        "not_python": False,
        "findings": 0,
        "tests": [1, 0, 1],
        "functions": ["def net(gross: float, rate: float=0.2) -> float", "undocumented"],
        "undocumented": ["price.undocumented"],
    },
    "control": {
        "asked": ["POST", [["page", "2"]], '{"rows":[1,2]}'],
        "token": "Bearer ***",
        "bad_day": ["Failed", 503],
        "words": "zebra\nbecause\n/users/42\n",
        "script": ["HELLO\n", 3],
        "no_program": 'program "there-is-no-such-program" was not found on the PATH',
    },
    "data": {
        "settings": {"currency": "EUR", "minimum": 5, "country": "no"},
        "customers": ["ada", "grace"],
        "wrong": "/amount",
        "records": [{"order_id": "1", "customer": "ada", "amount": "10.5"}],
        "rows": 1,
        "mean": 10.5,
    },
    "database": {
        "planned": [{"version": "001", "name": "orders"}, {"version": "002", "name": "sold"}],
        "migrated": ["002", []],
        "sold": 3,
        "sold_twice": "Failed",
        "asked": [{"customer": "ada", "total": 20}, {"customer": "grace", "total": 4.5}],
        "cached": [True, False],
        "totals": [{"customer": "ada", "total": 20}, {"customer": "grace", "total": 4.5}],
        "backup": ["sqlite", ["totals"]],
        "csv": "customer,total\nada,20.0\n",
    },
    "file": {
        "last_year": "no such file: archive/notes.md",
        "backup": "draft/notes.md.bak",
        "published": "# 1.0\n- quicker\n- Failed\n",
        "files": ["archive/notes.md", "public/notes.md"],
        "count": 2,
    },
    "git": {
        "unborn": "main",
        "changed": [{"path": "plan.md", "added": 1, "removed": 1, "status": "modified", "old_path": None}],
        "conflict": 'merging "idea/x" conflicts in plan.md; the repository was left as it was',
        "untouched": True,
        "merged": "Merge plan.md by hand",
        "since_first": [{"path": "plan.md", "added": 1, "removed": 1, "status": "modified", "old_path": None}],
    },
    "network": {
        "there": [True, 2],
        "said": ['{"news":"it works"}', "over"],
        "unheard": 4321,
        "sent": [9, True],
        "acted": ["over\n$HOME is; not read\n", "done\n", 0],
        "failed": 7,
        "same": "it works\n",
    },
    "system": {
        "ready": True,
        "answers": [True, 200],
        "stopped": [True, -15],
        "gone": True,
        "silent": "Failed",
        "packed": 1,
        "copied": "all is well",
    },
}
"""What the last step of each mission has gathered from the others."""


def hold(family: str, ran: Ran) -> None:
    """A family's mission is Completed: only what it tolerates fails, and its last step tells the story."""
    tolerated = {step["id"] for step in read(MISSIONS / f"{family}.yaml")["steps"] if step.get("continue_on_error")}
    assert tolerated
    assert set(ran.errors) == tolerated, ran.errors
    assert ran.status == "Completed"
    assert ran.output("told")["parameters"] == TOLD[family]


# --- what may differ from run to run ------------------------------------------------------------------

VARIES: dict[str, tuple[str, ...]] = {
    "command": ("duration_ms",),
    "compress": ("size", "ratio"),  # archives hold the times of their files
    "db_backup": ("duration_ms",),
    "http": ("duration_ms", "headers.date"),
    "list_directory": ("entries.*.modified",),
    "monitor_resources": ("cpu_percent", "memory.*", "disk.*", "load.*", "network.*", "process.*", "samples.*.*"),
    "ping_host": ("min_ms", "avg_ms", "max_ms"),
    "process_kill": ("pid",),
    "process_start": ("pid", "started_at", "stdout_file", "stderr_file"),  # files are named by run
    "redis_get": ("ttl",),
    "run_tests": ("stdout",),  # what the framework prints, with times
    "service_health": ("latency_ms",),
    "ssh_execute": ("duration_ms",),
    "websocket_connect": ("duration_ms",),
}
"""By step type, the fields of its output whose values say when and where it ran; `*` is any key or item."""


def comparable(family: str, ran: Ran) -> dict[str, Any]:
    """The parts of a MissionResult by name, without times and ids, with only the kind of what VARIES."""
    result = json.loads(json.dumps(ran.result).replace(str(ran.workspace), "WORKSPACE"))
    step_types = {step["id"]: step["step_type"] for step in read(MISSIONS / f"{family}.yaml")["steps"]}
    for step_id, step in result["step_results"].items():
        del step["duration_ms"]
        for path in VARIES.get(step_types[step_id], ()):
            step["output"] = _kind_at(step["output"], path.split("."))
    return {"status": result["status"], "mission": result["mission"], **result["step_results"]}


def _kind_at(value: Any, path: list[str]) -> Any:
    if not path:
        kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
        return None if value is None else f"<{kind}>"
    if isinstance(value, list):
        return [_kind_at(item, path[1:]) for item in value] if path[0] == "*" else value
    if isinstance(value, dict):
        return {key: _kind_at(item, path[1:]) if path[0] in ("*", key) else item for key, item in value.items()}
    return value


# --- the laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_local(family: str, surroundings: Surroundings, tmp_path: Path) -> None:
    """All step types of a family work together on the local executor."""
    environment = surroundings()
    hold(family, run_local((MISSIONS / f"{family}.yaml").read_text(), tmp_path, environment=environment))


@pytest.mark.parametrize("family", [pytest.param(family, marks=AIRFLOW) for family in FAMILIES])
def test_airflow(family: str, surroundings: Surroundings, tmp_path: Path, airflow_runs: AirflowRuns) -> None:  # noqa: F811
    """All step types of a family work together under Airflow, with the local executor's own results."""
    text = (MISSIONS / f"{family}.yaml").read_text()
    ran = run_airflow(text, airflow_runs, environment=surroundings())
    hold(family, ran)
    local = run_local(text, tmp_path, environment=surroundings())
    assert list(ran.statuses) == list(local.statuses)
    there, here = comparable(family, ran), comparable(family, local)
    assert {name: (each, here[name]) for name, each in there.items() if each != here[name]} == {}
    for secret in (TOKEN, services.PASSWORD, services.ENCODED_PASSWORD, "PRIVATE KEY"):
        assert secret not in repr((ran, local))
        assert holding(secret, airflow_runs) == []


@pytest.mark.parametrize("family", Family)
def test_missions_name_every_step_type(family: Family) -> None:
    """Every step type that is available is in the mission of its family."""
    available = {
        step_type.value for step_type in StepType if step_type.family is family and catalog.available(step_type)
    }
    path = MISSIONS / f"{family}.yaml"
    used = {step["step_type"] for step in read(path)["steps"]} if path.exists() else set()
    assert available - used == set()


def test_every_mission_is_a_familys() -> None:
    """A mission in the folder is named after a family, finds its surroundings and tells its story."""
    assert set(FAMILIES) <= set(Family)
    assert set(FAMILIES) == set(SURROUNDINGS) == set(TOLD)


def test_varying_fields_exist() -> None:
    """What is left out of the comparison are fields that step types have."""
    for step_type, paths in VARIES.items():
        fields = catalog.load(step_type).output.model_fields
        assert {path.split(".")[0] for path in paths} <= set(fields), step_type
