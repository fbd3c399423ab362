"""Real processes and ports; whatever a test started is gone when it ends."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from rustchain_airflow.runtime.owned_processes import end_owned_processes


@pytest.fixture
def start(run: Any, context: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """``start("code", name=…)``: process_start of a Python script that stays until it is stopped, or as it says."""
    started: list[int] = []

    def start_script(script: str, **parameters: Any) -> dict[str, Any]:
        output = run("process_start", {"command": sys.executable, "args": ["-u", "-c", script], **parameters})
        started.append(output["pid"])
        return output

    yield start_script
    end_owned_processes(context.workspace.root, context.run_id, grace_seconds=0)
    for pid in started:
        try:
            psutil.Process(pid).kill()
        except psutil.Error:
            pass


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answers(BaseHTTPRequestHandler):
    """Answers by path: /status/503, /text/hello, /redirect/PORT, /flaky (healthy from the third look on), /hang."""

    looks = 0

    def do_GET(self) -> None:
        _, kind, *rest = self.path.split("/")
        status, body, headers = 200, b"", {}
        match kind:
            case "status":
                status = int(rest[0])
            case "text":
                body = rest[0].encode()
            case "redirect":
                status, headers = 302, {"Location": "/".join(rest).replace("_", "/")}
            case "flaky":
                type(self).looks += 1
                status = 200 if self.looks >= 3 else 503
            case "auth":
                status = 200 if self.headers.get("Authorization") else 401
            case "hang":
                self.server.let_go.wait(30)  # type: ignore[attr-defined]
            case "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def http() -> Iterator[str]:
    """The address of an HTTP server that answers as its path says."""
    handler = type("Fresh", (Answers,), {"looks": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler))
    server.let_go = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.let_go.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()
