"""Runs steps of the network family as both engines do: through `run_step`, isolated, against real servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import network_servers
import trustme

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.step_type import StepType


@dataclass
class Network:
    """A workspace, and a way to run one step in it."""

    root: Path
    fork_server: ForkServer
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(self, step_type: str, *, timeout_seconds: float = 60, **parameters: Any) -> StepResult:
        step = PlannedStep("work", "Work", StepType(step_type), 0, parameters, timeout_seconds=timeout_seconds)
        run = MissionRun("mission", "1.0", "run-1", datetime.now(UTC), str(self.root))
        runtime = StepRuntime(
            ExecutionContext(run, environment=self.environment),
            fork_server=self.fork_server,
            connections=LocalConnections(self.environment),
        )
        return run_step(step, runtime, stop=StopToken(timeout_seconds))

    def good(self, step_type: str, **parameters: Any) -> dict[str, Any]:
        """The output of a step that must succeed."""
        result = self.run(step_type, **parameters)
        assert result.error is None, (result.error, result.output)
        assert result.output is not None
        return result.output

    def bad(self, step_type: str, **parameters: Any) -> StepResult:
        """The result of a step that must fail."""
        result = self.run(step_type, **parameters)
        assert result.error is not None, result.output
        assert "internal error" not in result.error
        assert "Traceback" not in result.error
        return result

    def upload(self, server: network_servers.FtpServer, **parameters: Any) -> StepResult:
        return self.run("ftp_upload", **{**network_servers.FTP_LOGIN, "port": server.port, **parameters})

    def download(self, server: network_servers.FtpServer, **parameters: Any) -> StepResult:
        return self.run("ftp_download", **{**network_servers.FTP_LOGIN, "port": server.port, **parameters})

    def files(self) -> list[str]:
        """Every file there is, hidden ones too."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture
def network(tmp_path: Path, fork_server: ForkServer) -> Network:
    root = tmp_path / "workspace"
    root.mkdir()
    return Network(root, fork_server)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> network_servers.Authority:
    return network_servers.Authority(trustme.CA(), tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[network_servers.FtpServer]:
    """An FTP server without TLS."""
    with network_servers.ftp(tmp_path / "ftp") as server:
        yield server


@pytest.fixture
def secure(tmp_path: Path, authority: network_servers.Authority) -> Iterator[network_servers.FtpServer]:
    """An FTP server that insists on TLS."""
    with network_servers.ftp(tmp_path / "ftp", certificate=authority.server_pem, require_tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def websocket_server() -> Iterator[network_servers.WebsocketServer]:
    with network_servers.websocket() as server:
        yield server


@pytest.fixture(scope="session")
def sshd() -> Iterator[network_servers.SshServer]:
    with network_servers.sshd() as server:
        yield server


@pytest.fixture(scope="session")
def asyncssh_server() -> Iterator[network_servers.SshServer]:
    with network_servers.asyncssh_server() as server:
        yield server
