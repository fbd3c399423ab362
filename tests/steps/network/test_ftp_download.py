"""ftp_download: a file appears whole or not at all (see test_ftp_upload for TLS, logins and hanging servers)."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import network_servers
import pytest

from rustchain_airflow.steps.sdk import StepError

CONTENT = bytes(range(256)) * 4000


@pytest.mark.parametrize(
    ("remote", "parameters", "local"),
    [
        ("a.bin", {"local_file": "a.bin"}, "a.bin"),
        ("x/y z/é☃.bin", {"local_file": "out/deep/b.bin"}, "out/deep/b.bin"),
        ("a.bin", {"local_file": "old.bin"}, "old.bin"),
        ("a.bin", {"local_file": "a.bin", "passive": False}, "a.bin"),
    ],
)
def test_what_is_fetched(network: Any, plain: Any, remote: str, parameters: dict[str, Any], local: str) -> None:
    """A file comes byte for byte, folders are made, and a file that is there is replaced."""
    network.write({"old.bin": b"old"})
    (plain.home / remote).parent.mkdir(parents=True, exist_ok=True)
    (plain.home / remote).write_bytes(CONTENT)
    result = network.download(plain, remote_file=remote, **parameters)
    assert result.error is None, result.error
    assert result.output == {"local_file": local, "size": len(CONTENT), "verified": True}
    assert (network.root / local).read_bytes() == CONTENT
    assert network.files() == sorted({local, "old.bin"})


def test_a_download_that_is_cut_leaves_nothing(network: Any, tmp_path: Path) -> None:
    """A connection that is cut in the middle fails the step, and the earlier file is as it was."""
    network.write({"b.bin": b"old"})
    home = tmp_path / "ftp"
    home.mkdir()
    (home / "a.bin").write_bytes(CONTENT)
    with network_servers.ftp(home, cut_after=300_000) as server:
        result = network.download(server, local_file="b.bin", remote_file="a.bin")
    assert result.error is not None
    assert result.retryable
    assert network.files() == ["b.bin"]
    assert (network.root / "b.bin").read_bytes() == b"old"


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit on the files this process may write: what a full disk is like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_the_file(run: Any, context: Any, plain: Any) -> None:
    """A file that cannot be written whole is no fault of the connection, and leaves nothing."""
    (plain.home / "a.bin").write_bytes(CONTENT)
    login = {**network_servers.FTP_LOGIN, "port": plain.port, "remote_file": "a.bin"}
    with largest_file(len(CONTENT) // 2), pytest.raises(StepError, match=r"b\.bin cannot be written: File too large"):
        run("ftp_download", {**login, "local_file": "b.bin"})
    assert list(context.workspace.root.iterdir()) == []
