"""Servers for the network steps on free ports of this machine: FTP, WebSocket and SSH, with faults on demand.

FTP is pyftpdlib, WebSocket the server of websockets; both come from PyPI. SSH is OpenSSH's sshd where the machine has
it (a test that needs it is missed loudly where not, see `services.missing`), and asyncssh's server for what sshd cannot
be asked to do: take a password that is no account's, hang, and cut a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import importlib.metadata
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import services
import trustme

USER = "tester"
FTP_LOGIN = {"host": "127.0.0.1", "username": USER, "password": services.PASSWORD}


@dataclass
class Authority:
    """A certificate authority of the tests, and what it signed for this machine."""

    ca: trustme.CA
    folder: Path

    @property
    def ca_pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    @property
    def server_pem(self) -> Path:
        """Key and certificate of 127.0.0.1 and localhost."""
        path = self.folder / "server.pem"
        if not path.exists():
            self.ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(path)
        return path


# --- FTP ------------------------------------------------------------------------------------------


@dataclass
class FtpServer:
    port: int
    home: Path
    version: str
    commands: list[str] = field(default_factory=list)
    """What clients said, passwords left out."""

    def files(self) -> dict[str, int]:
        """Every file there is and its size, hidden ones too."""
        found = (path for path in self.home.rglob("*") if path.is_file())
        return {str(path.relative_to(self.home)): path.stat().st_size for path in found}


@contextlib.contextmanager
def ftp(
    home: Path,
    *,
    certificate: Path | None = None,
    require_tls: bool = False,
    cut_after: int | None = None,
    lie_about_size: bool = False,
    no_size: bool = False,
    hang_on: str | None = None,
    masquerade: str | None = None,
    permissions: str = "elradfmwMT",
) -> Iterator[FtpServer]:
    """An FTP server of the folder ``home``, with TLS where there is a certificate.

    ``cut_after`` bytes of data every connection of the session is reset; ``hang_on`` is a command that gets no answer;
    ``masquerade`` is the address that is named for passive connections.
    """
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

    home.mkdir(exist_ok=True)
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, services.PASSWORD, str(home), perm=permissions)
    base, data_base = (TLS_FTPHandler, TLS_DTPHandler) if certificate else (FTPHandler, DTPHandler)
    server = FtpServer(0, home, importlib.metadata.version("pyftpdlib"))

    class Data(data_base):  # type: ignore[misc,valid-type]
        def handle_read_event(self) -> None:
            super().handle_read_event()
            self._cut(self.tot_bytes_received)

        def initiate_send(self) -> None:
            super().initiate_send()
            self._cut(self.tot_bytes_sent)

        def _cut(self, seen: int) -> None:
            if cut_after is not None and seen > cut_after and self.cmd_channel is not None:
                for connection in (self.cmd_channel.socket, self.socket):
                    with contextlib.suppress(OSError):
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.cmd_channel.close()

    class Handler(base):  # type: ignore[misc,valid-type]
        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            server.commands.append(cmd if cmd == "PASS" else f"{cmd} {arg}".strip())
            if cmd == "SIZE" and no_size:
                self.respond("502 Command not implemented.")
            elif cmd != hang_on:
                super().pre_process_command(line, cmd, arg)

        def ftp_SIZE(self, path: str) -> None:  # noqa: N802 (the framework's name)
            if lie_about_size:
                self.respond("213 7")
            else:
                super().ftp_SIZE(path)

    Handler.authorizer = authorizer
    Handler.dtp_handler = Data
    Handler.masquerade_address = masquerade
    Handler.use_sendfile = False
    Handler.auth_failed_timeout = 0
    if certificate:
        Handler.certfile = str(certificate)
        Handler.tls_control_required = Handler.tls_data_required = require_tls
    listener = FTPServer(("127.0.0.1", 0), Handler, ioloop=IOLoop())
    server.port = listener.socket.getsockname()[1]
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            listener.ioloop.loop(timeout=0.05, blocking=False)
        listener.close_all()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stopping.set()
        thread.join(10)


# --- WebSocket ------------------------------------------------------------------------------------


@dataclass
class WebsocketServer:
    port: int
    version: str
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""
    received: list[str | bytes] = field(default_factory=list)
    closed: list[int | None] = field(default_factory=list)
    """The code each connection ended with, as the server saw it."""


@contextlib.contextmanager
def websocket(certificate: Path | None = None) -> Iterator[WebsocketServer]:
    """A WebSocket server whose paths say what it does, see `_act`; /denied, /missing and /moved open none."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import ServerConnection, serve

    server = WebsocketServer(0, importlib.metadata.version("websockets"))

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        server.requests.append(dict(connection.request.headers.raw_items()))
        with contextlib.suppress(ConnectionClosed):
            _act(connection, connection.request.path, server)
        server.closed.append(connection.protocol.close_code)

    def process(connection: Any, request: Any) -> Any:
        if request.path in ("/denied", "/missing", "/moved"):
            status = {"/denied": 401, "/missing": 404, "/moved": 302}[request.path]
            response = connection.respond(status, "no\n")
            response.headers["Location"] = "/echo"
            return response
        return None

    settings = None
    if certificate:
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings.load_cert_chain(certificate)
    with serve(handle, "127.0.0.1", 0, ssl=settings, process_request=process, max_size=None) as listener:
        server.port = listener.socket.getsockname()[1]
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join(10)


def _act(connection: Any, path: str, server: WebsocketServer) -> None:
    if path == "/greet":
        connection.send("welcome")
    elif path == "/count":
        for number in range(1, 6):
            connection.send(f"number {number}")
    elif path == "/bye":
        connection.close(4321, "enough")
    elif path == "/cut":
        connection.send("one")
        connection.socket.shutdown(socket.SHUT_RDWR)
    elif path == "/big":
        connection.send("x" * 2_000_000)
    elif path == "/binary":
        connection.send(b"\x00\xff")
    elif path == "/flood":
        for _ in range(1000):
            connection.send("y" * 10_000)
    for message in connection:
        server.received.append(message)
        if path == "/echo":
            connection.send(message)


# --- SSH ------------------------------------------------------------------------------------------


@dataclass
class SshServer:
    name: str
    version: str
    port: int
    user: str
    home: Path
    """With the client's keys: id_ed25519, id_protected (passphrase PASSWORD), and known_hosts."""


def _keygen(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path], check=True, capture_output=True
    )


def _keys(home: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        services.missing("ssh-keygen", "apt-get install openssh-client")
    _keygen(home / "host")
    _keygen(home / "id_ed25519")
    _keygen(home / "id_other")
    _keygen(home / "id_protected", passphrase=services.PASSWORD)
    authorized = [(home / f"{name}.pub").read_text() for name in ("id_ed25519", "id_protected")]
    (home / "authorized_keys").write_text("".join(authorized))


def _know(home: Path, port: int) -> None:
    kind, key, *_comment = (home / "host.pub").read_text().split()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")


@contextlib.contextmanager
def sshd() -> Iterator[SshServer]:
    """OpenSSH's server for the user of the tests, who logs in with a key."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        services.missing("sshd", "apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with services.folder(None) as home:
        _keys(home)
        port = services.free_port()
        (home / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized_keys\n"
            f"PidFile {home}/pid\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        )
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", home / "config"], stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            services.wait_until(lambda: services.listens(port), "sshd", process=process)
            _know(home, port)
            version = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.split(",")[0]
            yield SshServer("OpenSSH", version, port, getpass.getuser(), home)
        finally:
            services.stop(process)


@contextlib.contextmanager
def asyncssh_server() -> Iterator[SshServer]:
    """A server that takes USER's password, and whose commands are ``hang``, ``cut`` and ``say WORD``."""
    import asyncssh

    with services.folder(None) as home:
        _keys(home)
        loop = asyncio.new_event_loop()
        ports: list[int] = []

        class Login(asyncssh.SSHServer):  # type: ignore[misc]
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, services.PASSWORD)

        async def act(process: Any) -> None:
            words = (process.command or "").split()
            if words[:1] == ["hang"]:
                process.stdout.write("waiting\n")
                await asyncio.sleep(600)
            elif words[:1] == ["cut"]:
                process.stdout.write("half")
                await process.stdout.drain()
                process.channel.get_connection().abort()
            else:
                process.stdout.write(" ".join(words[1:]) + "\n")
                process.exit(0)

        async def serve() -> None:
            listener = await asyncssh.listen(
                "127.0.0.1", 0, server_factory=Login, server_host_keys=[str(home / "host")], process_factory=act
            )
            ports.append(listener.get_port())

        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(serve(), loop).result(30)
        _know(home, ports[0])
        try:
            yield SshServer("asyncssh", importlib.metadata.version("asyncssh"), ports[0], USER, home)
        finally:
            asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)


async def _cancel_others() -> None:
    """End every other task of the loop."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def settled(law: Callable[[], bool], what: str) -> None:
    """Wait for what another process or thread is about to do."""
    deadline = time.monotonic() + 20
    while not law():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
