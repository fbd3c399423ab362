"""Web servers for the control steps: plain, with TLS, and a second origin."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parents[2]))

from web_server import WebServer, serve


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server; ``web.url(path)`` is its address and ``web.requests`` what it was asked."""
    with serve() as server:
        yield server


@pytest.fixture
def other_web() -> Iterator[WebServer]:
    """Another web server, at another port: another origin."""
    with serve() as server:
        yield server


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_web(authority: trustme.CA) -> Iterator[WebServer]:
    """A web server with a certificate for "localhost" from ``authority``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serve(context) as server:
        yield server


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's certificate authorities are ``authority`` alone."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
