"""Starts a local Airflow: SQLite, LocalExecutor, bound to 127.0.0.1, with the missions of a folder in it.

``python -m tools.airflow`` runs it until Ctrl-C; the system tests and the screenshot use `LocalAirflow` itself.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import psutil

ROOT = Path(__file__).resolve().parents[1]

HOST = "127.0.0.1"
USER = "admin"
USUAL_PORT = 8080

_STARTING_SECONDS = 240.0
"""How long a start may take; about 20 s on a quiet machine."""

_STOPPING_SECONDS = 10.0
"""How long the components get to end by themselves; Airflow's LocalExecutor workers do not listen to a SIGTERM."""

_TRIES = 8
"""How often a request is sent when SQLite answers that it is locked."""


class ApiError(Exception):
    """The REST API said no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class AirflowNotStarted(Exception):
    """Airflow could not be started; the message says why."""


def mission_bundle(name: str, folder: Path, *, refresh_interval: int = 5) -> dict[str, Any]:
    """The bundle that compiles the missions of a folder, as ``dag_bundle_config_list`` takes it."""
    return {
        "name": name,
        "classpath": "rustchain_airflow.provider.bundle.MissionDagBundle",
        "kwargs": {"path": str(folder), "refresh_interval": refresh_interval},
    }


def dags_folder(name: str, folder: Path, *, refresh_interval: int = 5) -> dict[str, Any]:
    """A plain folder of DAG files, for one that holds the loader file ``missions.py`` beside its missions."""
    return {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder), "refresh_interval": refresh_interval},
    }


FOR_LOADER = {"dag_processor": {"min_file_process_interval": "10"}}
"""Settings for a folder with a loader file: that file does not change when a mission beside it does, so Airflow has to
read it again by the clock."""


class LocalAirflow:
    """The processes of one Airflow, and its REST API.

    ``home`` becomes AIRFLOW_HOME: database, configuration, password and logs stay there from one start to the next.
    ``settings`` maps section to option to value, on top of what is set here (see `FOR_LOADER`). ``environment`` is
    added to what the tasks see. Settings of another Airflow in this process's environment (AIRFLOW__...) do not count.
    The triggerer is only needed by deferrable operators and by a page that shows all green.
    """

    def __init__(
        self,
        home: Path,
        *,
        bundles: Sequence[Mapping[str, Any]],
        port: int | None = None,
        parallelism: int = 4,
        triggerer: bool = True,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home.absolute()
        self.port = port if port is not None else free_port()
        self.logs = self.home / "logs"
        self.workspaces = self.home / "missions"
        """The workspace of a run is ``<dag_id>/<run_id>`` below it."""
        self._bundles = list(bundles)
        self._parallelism = parallelism
        self._components = ["scheduler", "dag-processor", "api-server", *(["triggerer"] if triggerer else [])]
        self._settings = settings or {}
        self._environment = environment or {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock: TextIO | None = None
        self._token: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def password_file(self) -> Path:
        """Where Airflow's simple auth manager looks for passwords."""
        return self.home / "simple_auth_manager_passwords.json.generated"

    @property
    def password(self) -> str:
        """The password of USER: made once, at random."""
        password: str = json.loads(self.password_file.read_text(encoding="utf-8"))[USER]
        return password

    def start(self) -> None:
        """Start all components and return when they are healthy. Raises AirflowNotStarted."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self._take_home()
        try:
            self._write_configuration()
            self._write_password()
            self._migrate()
            for component in self._components:
                self._processes[component] = self._start(component)
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of this Airflow, and what its tasks have started."""
        components = {process.pid for process in self._processes.values()}
        descendants = {child.pid: child for pid in components for child in _children(pid)}
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _STOPPING_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        # Workers outlive their scheduler; what a task starts has a session of its own, or is in that of a component.
        while alive := [*_alive(descendants.values()), *_in_sessions(components)]:
            for each in alive:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(alive, timeout=1)
            for process in self._processes.values():
                process.poll()
        self._processes.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def ended(self) -> str | None:
        """A component that has ended although nobody asked it to."""
        return next((name for name, process in self._processes.items() if process.poll() is not None), None)

    def log_tail(self, component: str, lines: int = 20) -> str:
        """The last lines a component wrote."""
        text = (self.logs / f"{component}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    # --- REST -------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Send a request below /api/v2 and return the JSON of the answer; None where there is none.

        Repeated while SQLite is locked. Raises ApiError with any other answer that is not 2xx.
        """
        return _json(self._request(method, f"/api/v2/{path.lstrip('/')}", body, token=self.token()))

    def token(self) -> str:
        """A token of USER, for the REST API and for the UI's ``_token`` cookie."""
        if self._token is None:
            body = {"username": USER, "password": self.password}
            self._token = str(_json(self._request("POST", "/auth/token", body))["access_token"])
        return self._token

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Start a run. A request that SQLite answered with an error may have been carried out: that is well, too."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        try:
            self.api("POST", f"dags/{dag_id}/dagRuns", body)
        except ApiError as error:
            if error.status != 409:
                raise

    def wait(self, dag_id: str, run_id: str) -> tuple[str, dict[str, Any] | None]:
        """Wait for a run to end: its state, and the result that its DAG declares (the MissionResult)."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/wait?interval=1"
        last: dict[str, Any] = json.loads(self._request("GET", path, token=self.token()).splitlines()[-1])
        results = list((last.get("results") or {}).values())
        return last["state"], results[0] if results else None

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of every task of a run."""
        found = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000")
        return {each["task_id"]: each["state"] for each in found["task_instances"]}

    def _request(self, method: str, path: str, body: object = None, *, token: str | None = None) -> str:
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for attempt in range(1, _TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=_STARTING_SECONDS) as answer:
                    text: str = answer.read().decode()
                    return text
            except urllib.error.HTTPError as error:
                answered = error.read().decode(errors="replace")
                if error.code < 500 or attempt == _TRIES:
                    raise ApiError(error.code, answered) from None
            time.sleep(0.25 * attempt)
        raise AssertionError("unreachable")

    # --- starting ---------------------------------------------------------------------------------

    def _take_home(self) -> None:
        """Hold the home's lock. The components inherit it, so it also tells of ones that were left behind."""
        lock = (self.home / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            sessions = " ".join(f"-{pid}" for pid in lock.read().split())
            lock.close()
            raise AirflowNotStarted(
                f"an Airflow already runs in {self.home}; stop it, or end what is left of it: kill -9 -- {sessions}"
            ) from None
        lock.truncate(0)
        self._lock = lock

    def _configuration(self) -> dict[str, dict[str, str]]:
        database = self.home / "airflow.db"
        return {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": str(self._parallelism),
                "load_examples": "False",
                "dags_folder": str(self.home / "no-dags"),
                "dags_are_paused_at_creation": "False",
                "min_serialized_dag_update_interval": "0",
                "execution_api_server_url": f"{self.url}/execution/",
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": str(self.password_file),
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{database}?timeout=30", "load_default_connections": "False"},
            "api": {"host": HOST, "port": str(self.port), "base_url": self.url},
            "dag_processor": {
                "dag_bundle_config_list": json.dumps(self._bundles),
                "dag_bundle_storage_path": str(self.home / "bundles"),
                "bundle_refresh_check_interval": "2",
            },
            "scheduler": {"scheduler_idle_sleep_time": "0.2"},
            # A supervisor that just misses the end of a failing task, or a cancel, looks again after this long.
            "workers": {"min_heartbeat_interval": "1"},
            "logging": {"base_log_folder": str(self.logs)},
            "usage_data_collection": {"enabled": "False"},
            "rustchain": {"workspace_root": str(self.workspaces)},
        }

    def _write_configuration(self) -> None:
        """Write airflow.cfg: what is set here wins, other settings of an older file stay, secrets are made once."""
        parser = configparser.RawConfigParser()
        path = self.home / "airflow.cfg"
        parser.read(path, encoding="utf-8")
        made_once = {
            ("core", "fernet_key"): base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            ("api", "secret_key"): secrets.token_urlsafe(32),
            ("api_auth", "jwt_secret"): secrets.token_urlsafe(48),
        }
        for settings in (self._configuration(), self._settings):
            for section, options in settings.items():
                for option, value in options.items():
                    _set(parser, section, option, value.replace("%", "%%"))
        for (section, option), value in made_once.items():
            if not parser.has_option(section, option):
                _set(parser, section, option, value)
        with _private(path) as file:
            parser.write(file)

    def _write_password(self) -> None:
        if not self.password_file.exists():
            with _private(self.password_file) as file:
                json.dump({USER: secrets.token_urlsafe(12)}, file)

    def _migrate(self) -> None:
        with (self.logs / "migrate.log").open("wb") as log:
            done = subprocess.run(
                self._command("db", "migrate"), stdout=log, stderr=log, env=self._variables(), check=False
            )
        if done.returncode != 0:
            raise AirflowNotStarted(f"the database could not be made:\n{self.log_tail('migrate')}")
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not lock each other out

    def _start(self, component: str) -> subprocess.Popen[bytes]:
        assert self._lock is not None
        with (self.logs / f"{component}.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(component),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._variables(),
                start_new_session=True,
                pass_fds=[self._lock.fileno()],
            )
        self._lock.write(f"{process.pid}\n")
        self._lock.flush()
        return process

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *arguments]

    def _variables(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
        for name in ("PYTHONDONTWRITEBYTECODE", "RUSTCHAIN_WORKSPACE_ROOT"):
            inherited.pop(name, None)  # without bytecode each process takes twice as long to start
        return {**inherited, "AIRFLOW_HOME": str(self.home), **self._environment}

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _STARTING_SECONDS
        wanted = {name.replace("-", "_") for name in self._components} - {"api_server"}
        while True:
            if ended := self.ended():
                raise AirflowNotStarted(f"the {ended} ended:\n{self.log_tail(ended)}")
            with contextlib.suppress(OSError, ApiError):
                health = _json(self._request("GET", "/api/v2/monitor/health"))
                if all(health[name]["status"] == "healthy" for name in wanted):
                    return
            if time.monotonic() > deadline:
                raise AirflowNotStarted(f"not healthy within {_STARTING_SECONDS:.0f} s; its logs are in {self.logs}")
            time.sleep(0.25)


def free_port(preferred: int = 0) -> int:
    """A port of this machine that nobody listens on: the preferred one where it is free."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            found: int = probe.getsockname()[1]
            return found
    raise AirflowNotStarted("no port is free")


def _json(text: str) -> Any:
    return json.loads(text) if text else None


def _set(parser: configparser.RawConfigParser, section: str, option: str, value: str) -> None:
    if not parser.has_section(section):
        parser.add_section(section)
    parser.set(section, option, value)


@contextlib.contextmanager
def _private(path: Path) -> Iterator[TextIO]:
    """A file to write that only its owner may read."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        yield file


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def _in_sessions(leaders: set[int]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in leaders and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _until_stopped(ended: Callable[[], str | None]) -> str | None:
    """Wait for Ctrl-C; the component that ended where one did so first."""
    try:
        while not (component := ended()):
            time.sleep(0.5)
        return component
    except KeyboardInterrupt:
        return None


def main() -> int:
    """Run a local Airflow until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.airflow", description=__doc__)
    parser.add_argument("--port", type=int, help=f"where its UI listens (default: {USUAL_PORT} if free)")
    parser.add_argument("--home", type=Path, default=ROOT / ".airflow", help="AIRFLOW_HOME (default: .airflow)")
    parser.add_argument("--dags", type=Path, default=ROOT / "dags", help="the folder of missions (default: dags)")
    parser.add_argument("--loader", action="store_true", help="use the folder's missions.py, not MissionDagBundle")
    options = parser.parse_args()
    folder = options.dags.absolute()
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    if options.loader and not (folder / "missions.py").is_file():
        parser.error(f"{folder / 'missions.py'} is missing: copy dags/missions.py there")
    if options.port and free_port(options.port) != options.port:
        parser.error(f"port {options.port} is in use")
    airflow = LocalAirflow(
        options.home,
        bundles=[(dags_folder if options.loader else mission_bundle)("missions", folder)],
        port=options.port or free_port(USUAL_PORT),
        settings=FOR_LOADER if options.loader else None,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop by another program is no other than Ctrl-C
    print("Airflow is starting; the first time takes half a minute.", flush=True)
    try:
        airflow.start()
    except AirflowNotStarted as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(
        f"\n  {airflow.url}\n\n"
        f"  log in as  {USER}\n"
        f"  password   {airflow.password}   (made at random, kept in {airflow.password_file})\n"
        f"  missions   {folder}   (a YAML dropped there is a DAG within seconds)\n"
        f"  logs       {airflow.logs}\n\n"
        f"Ctrl-C ends it.",
        flush=True,
    )
    try:
        if ended := _until_stopped(airflow.ended):
            print(f"The {ended} ended:\n{airflow.log_tail(ended)}", file=sys.stderr)
            return 1
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave processes behind
        print("Airflow is stopping.", flush=True)
        airflow.stop()


if __name__ == "__main__":
    sys.exit(main())
