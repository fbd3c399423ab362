"""A real HTTP server on loopback whose paths misbehave in every way a step has to survive."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class WebServer:
    """Where a server listens, and what it was asked."""

    port: int
    scheme: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    never: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: what a slow answer waits for."""

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebServer

    def handle_any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        parts = urlsplit(self.path)
        seen = {
            "method": self.command,
            "path": parts.path,
            "query": parse_qsl(parts.query),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode("latin-1"),
        }
        self.web.requests.append(seen)
        name, _, rest = parts.path.lstrip("/").partition("/")
        getattr(self, f"answer_{name}", self.answer_echo)(seen, rest)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def send(self, body: bytes = b"", *, status: int = 200, kind: str | None = "text/plain", **headers: str) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", headers.pop("content_length", str(len(body))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_echo(self, seen: dict[str, Any], rest: str) -> None:
        self.send(json.dumps(seen).encode(), kind="application/json")

    def answer_status(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b'{"reason": "because"}', status=int(rest), kind="application/json")

    def answer_unreliable(self, seen: dict[str, Any], rest: str) -> None:
        """/unreliable/N: 503, but to the N-th request and those after it."""
        asked = sum(request["path"] == seen["path"] for request in self.web.requests)
        self.send(b"at last" if asked >= int(rest) else b"not now", status=200 if asked >= int(rest) else 503)

    def answer_bytes(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b"x" * int(rest))

    def answer_binary(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b"\x89PNG\x00\xff\xfe", kind="image/png")

    def answer_broken_json(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b'{"a": NaN}', kind="application/json")

    def answer_latin1(self, seen: dict[str, Any], rest: str) -> None:
        self.send("déjà vu".encode("latin-1"), kind="text/plain; charset=iso-8859-1")

    def answer_gzip(self, seen: dict[str, Any], rest: str) -> None:
        self.send(gzip.compress(b"z" * int(rest)), Content_Encoding="gzip")

    def answer_not_gzip(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b"this is not gzip", Content_Encoding="gzip")

    def answer_cookie(self, seen: dict[str, Any], rest: str) -> None:
        self.send(b"ok", Set_Cookie="session=s3cr3t-value; Path=/; HttpOnly")

    def answer_truncated(self, seen: dict[str, Any], rest: str) -> None:
        self.close_connection = True
        self.send(b"only this", content_length="5000")

    def answer_hang_up(self, seen: dict[str, Any], rest: str) -> None:
        self.close_connection = True

    def answer_never(self, seen: dict[str, Any], rest: str) -> None:
        self.web.never.wait()

    def answer_drip(self, seen: dict[str, Any], rest: str) -> None:
        """Some bytes now and then, so that no single read ever waits long."""
        self.close_connection = True
        self.send(b"", content_length="100000")
        try:
            while not self.web.never.wait(0.02):
                self.wfile.write(b"x")
        except OSError:
            pass

    def answer_redirect(self, seen: dict[str, Any], rest: str) -> None:
        """/redirect/STATUS/TARGET, the target a path, or HOST:PORT/path after a "to:"."""
        status, _, target = rest.partition("/")
        location = f"http://{target[3:]}" if target.startswith("to:") else f"/{target}"
        self.send(status=int(status), Location=location)

    def answer_redirect_to(self, seen: dict[str, Any], rest: str) -> None:
        """/redirect_to?URL"""
        self.send(status=302, Location=urlsplit(self.path).query)

    def answer_ftp_redirect(self, seen: dict[str, Any], rest: str) -> None:
        self.send(status=302, Location="ftp://127.0.0.1/file")

    def answer_loop(self, seen: dict[str, Any], rest: str) -> None:
        self.send(status=302, Location="/loop")

    def log_message(self, *_: Any) -> None:
        """Say nothing: a test says what it needs."""


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A web server on a free port, for as long as the block lasts; with TLS where it is given a context."""
    handler = type("BoundHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    handler.web = web = WebServer(server.server_address[1], "https" if context else "http")
    server.handle_error = lambda request, address: None  # a client that goes away is part of the tests
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.never.set()
        server.shutdown()
        server.server_close()
        thread.join()
