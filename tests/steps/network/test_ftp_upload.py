"""ftp_upload, and what it has in common with ftp_download: whole files or none, TLS where it is offered."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import network_servers
import pytest
import services

CONTENT = bytes(range(256)) * 4000
LOGIN = network_servers.FTP_LOGIN
TEMPORARY = ".part"


@pytest.mark.parametrize(
    ("parameters", "remote"),
    [
        ({"remote_file": "a.bin"}, "a.bin"),
        ({"remote_file": "/a.bin", "atomic": False}, "a.bin"),
        ({"remote_file": "x/y z/é☃.bin", "create_dirs": True}, "x/y z/é☃.bin"),
        ({"remote_file": "/x/a.bin", "create_dirs": "true"}, "x/a.bin"),
        ({"remote_file": "a.bin", "passive": False}, "a.bin"),
        ({"remote_file": "a.bin", "tls": "false"}, "a.bin"),
    ],
)
def test_there_and_back(network: Any, plain: Any, parameters: dict[str, Any], remote: str) -> None:
    """A file arrives byte for byte, verified by its size, leaves no temporary file, and comes back the same."""
    network.write({"in/a.bin": CONTENT})
    sent = network.upload(plain, local_file="in/a.bin", **parameters)
    assert sent.error is None, sent.error
    assert sent.output == {"remote_file": parameters["remote_file"], "size": len(CONTENT), "verified": True}
    assert plain.files() == {remote: len(CONTENT)}
    shared = {name: value for name, value in parameters.items() if name not in ("create_dirs", "atomic")}
    fetched = network.download(plain, local_file="out/b.bin", **shared)
    assert fetched.error is None, fetched.error
    assert fetched.output == {"local_file": "out/b.bin", "size": len(CONTENT), "verified": True}
    assert (network.root / "out/b.bin").read_bytes() == CONTENT


def test_an_atomic_upload_is_renamed_into_place(network: Any, plain: Any) -> None:
    """The file is stored under a hidden name in the same folder, and takes the place of the old one at once."""
    network.write({"a.bin": CONTENT})
    (plain.home / "d").mkdir()
    (plain.home / "d/a.bin").write_bytes(b"old")
    assert network.upload(plain, local_file="a.bin", remote_file="d/a.bin").error is None
    (stored,) = (line.removeprefix("STOR ") for line in plain.commands if line.startswith("STOR"))
    assert stored.startswith("d/.a.bin.")
    assert stored.endswith(TEMPORARY)
    assert plain.commands.index(f"RNFR {stored}") < plain.commands.index("RNTO d/a.bin")
    assert plain.files() == {"d/a.bin": len(CONTENT)}


def test_an_empty_file(network: Any, plain: Any) -> None:
    """A file of no bytes is a file."""
    network.write({"a": b""})
    assert network.upload(plain, local_file="a", remote_file="a").output["size"] == 0
    assert network.download(plain, local_file="b", remote_file="a").output["verified"] is True
    assert (network.root / "b").read_bytes() == b""


def test_a_connection_by_id_or_url(network: Any, plain: Any) -> None:
    """Host, port and login may come from a connection, whose password is nowhere shown."""
    network.write({"a": b"x"})
    url = f"ftp://{network_servers.USER}:{services.ENCODED_PASSWORD}@127.0.0.1:{plain.port}"
    network.environment["AIRFLOW_CONN_FILES"] = url
    assert network.good("ftp_upload", connection="files", local_file="a", remote_file="a")["verified"]
    assert network.good("ftp_download", connection=url, local_file="b", remote_file="a")["verified"]
    wrong = url.replace(services.ENCODED_PASSWORD, "wrong-password")
    refused = network.bad("ftp_upload", connection=wrong, local_file="a", remote_file="a")
    assert "wrong-password" not in refused.error


def test_a_server_that_does_not_know_sizes(network: Any, tmp_path: Path) -> None:
    """Where the server cannot say a size, the transfer succeeds and is not called verified."""
    network.write({"a": b"abc"})
    with network_servers.ftp(tmp_path / "ftp", no_size=True) as server:
        assert network.upload(server, local_file="a", remote_file="a").output["verified"] is False
        assert network.download(server, local_file="b", remote_file="a").output["verified"] is False


# --- tls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["auto", True])
def test_tls_is_used_where_it_is_offered(network: Any, secure: Any, authority: Any, tls: Any) -> None:
    """Login and data are encrypted when the server offers it, and the certificate is checked."""
    network.write({"a.bin": CONTENT, "ca.pem": authority.ca_pem})
    sent = network.upload(secure, local_file="a.bin", remote_file="a.bin", tls=tls, ca_file="ca.pem")
    assert sent.error is None, sent.error
    assert sent.output["verified"] is True
    order = [secure.commands.index(command) for command in ("AUTH TLS", "PASS", "PROT P")]
    assert order == sorted(order)
    fetched = network.download(secure, local_file="b.bin", remote_file="a.bin", tls=tls, ca_file="ca.pem")
    assert fetched.error is None, fetched.error
    assert (network.root / "b.bin").read_bytes() == CONTENT


def test_an_untrusted_certificate_is_refused(network: Any, secure: Any) -> None:
    """Under auto too: an offer of TLS that cannot be trusted is no reason to send a password in the clear."""
    network.write({"a": b"x"})
    refused = network.upload(secure, local_file="a", remote_file="a")
    assert "is not trusted" in refused.error
    assert "ca_file" in refused.error
    assert not refused.retryable
    assert "PASS" not in secure.commands
    assert network.upload(secure, local_file="a", remote_file="a", verify_tls=False).error is None


def test_tls_that_is_not_offered(network: Any, plain: Any) -> None:
    """With tls: true a server without TLS is refused before anybody logs in; with auto it is used plainly."""
    network.write({"a": b"x"})
    refused = network.upload(plain, local_file="a", remote_file="a", tls="true")
    assert "offers no TLS" in refused.error
    assert not refused.retryable
    assert "PASS" not in plain.commands


def test_plain_ftp_where_the_server_insists_on_tls(network: Any, secure: Any) -> None:
    """With tls: false a server that insists is a failure in its own words."""
    network.write({"a": b"x"})
    assert "SSL/TLS required" in network.upload(secure, local_file="a", remote_file="a", tls=False).error


# --- faults ---------------------------------------------------------------------------------------


def test_an_upload_that_is_cut_leaves_nothing(network: Any, tmp_path: Path) -> None:
    """A connection that is cut in the middle fails the step, and the half file is removed by a second session."""
    network.write({"a.bin": CONTENT})
    home = tmp_path / "ftp"
    home.mkdir()
    (home / "a.bin").write_bytes(b"old")
    with network_servers.ftp(home, cut_after=300_000) as server:
        result = network.upload(server, local_file="a.bin", remote_file="a.bin")
        assert result.error is not None
        assert result.retryable
        assert any(line.startswith("DELE ") for line in server.commands)
        assert server.files() == {"a.bin": 3}


def test_sizes_that_differ(network: Any, tmp_path: Path) -> None:
    """A server that has another number of bytes fails the step, and what was sent or received is removed."""
    network.write({"a.bin": CONTENT})
    home = tmp_path / "ftp"
    with network_servers.ftp(home, lie_about_size=True) as server:
        result = network.upload(server, local_file="a.bin", remote_file="a.bin")
        assert result.error == f"127.0.0.1:{server.port} has 7 bytes of the {len(CONTENT)} that were sent"
        assert server.files() == {}
        (home / "a.bin").write_bytes(CONTENT)
        result = network.download(server, local_file="b.bin", remote_file="a.bin")
        assert result.error == f"127.0.0.1:{server.port} sent {len(CONTENT)} bytes of the 7 that the file has"
    assert network.files() == ["a.bin"]


def test_the_next_attempt_overwrites_what_a_killed_one_left(network: Any, tmp_path: Path) -> None:
    """A step that is killed leaves its temporary file, and its next attempt makes one file of it."""
    network.write({"a.bin": CONTENT})
    home = tmp_path / "ftp"
    with network_servers.ftp(home, hang_on="RNFR") as server:
        killed = network.upload(server, local_file="a.bin", remote_file="a.bin", timeout_seconds=2)
        assert killed.error == "timed out after 2 s"
        assert [name.endswith(TEMPORARY) for name in server.files()] == [True]
    with network_servers.ftp(home) as server:
        assert network.upload(server, local_file="a.bin", remote_file="a.bin").error is None
        assert server.files() == {"a.bin": len(CONTENT)}


@pytest.mark.parametrize("command", ["USER", "PASV", "EPSV", "STOR", "SIZE"])
def test_a_server_that_hangs(network: Any, tmp_path: Path, command: str) -> None:
    """A server without a word is given up after the time-out without progress, not after the step's."""
    network.write({"a": b"x"})
    with network_servers.ftp(tmp_path / "ftp", hang_on=command) as server:
        result = network.upload(server, local_file="a", remote_file="a", timeout=0.5)
        if command in ("PASV", "EPSV") and result.error is None:
            assert not any(line.startswith(command) for line in server.commands)
        else:
            assert result.error == f"127.0.0.1:{server.port} said nothing for 0.5 s"
            assert result.retryable


def test_data_goes_where_the_session_goes(network: Any, tmp_path: Path) -> None:
    """The address a server names for data connections is not used: it could be anybody's."""
    network.write({"a": b"x"})
    with network_servers.ftp(tmp_path / "ftp", masquerade="192.0.2.1") as server:
        assert network.upload(server, local_file="a", remote_file="a", timeout=5).error is None


def test_a_wrong_password_is_refused(network: Any, plain: Any) -> None:
    """Who may not log in is refused, by name and without the password."""
    network.write({"a": b"x"})
    result = network.upload(plain, local_file="a", remote_file="a", password="not-the-one")
    assert f'did not let "{network_servers.USER}" log in' in result.error
    assert "not-the-one" not in result.error
    assert not result.retryable


def test_what_the_server_does_not_allow(network: Any, tmp_path: Path) -> None:
    """A server's refusal is a failure in its own words."""
    network.write({"a": b"x"})
    with network_servers.ftp(tmp_path / "ftp", permissions="elr") as server:
        assert "550 Not enough privileges" in network.upload(server, local_file="a", remote_file="a").error
        assert "550" in network.download(server, local_file="b", remote_file="none").error
    assert network.files() == ["a"]


def test_missing_folders_and_files(network: Any, plain: Any) -> None:
    """Without create_dirs a missing folder fails; so does a local file that is not there."""
    network.write({"a": b"x"})
    assert "550" in network.upload(plain, local_file="a", remote_file="none/a").error
    assert network.upload(plain, local_file="none", remote_file="a").error == "no such file: none"
    assert plain.files() == {}


def test_nobody_listens(network: Any) -> None:
    """A port without a server is a failure that another attempt may mend."""
    network.write({"a": b"x"})
    result = network.bad("ftp_upload", **LOGIN, port=1, local_file="a", remote_file="a")
    assert result.error == "the connection to 127.0.0.1:1 failed: Connection refused"
    assert result.retryable


def test_100_megabytes_in_bounded_memory(run: Any, context: Any, plain: Any) -> None:
    """A large file goes through in pieces, in both directions."""
    size = 100 * 1024 * 1024
    with (context.workspace.root / "large").open("wb") as file:
        file.truncate(size)
    login = {**LOGIN, "port": plain.port, "remote_file": "large", "tls": False}
    tracemalloc.start()
    try:
        assert run("ftp_upload", {**login, "local_file": "large"})["size"] == size
        assert run("ftp_download", {**login, "local_file": "back"})["size"] == size
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert (context.workspace.root / "back").stat().st_size == size


@pytest.mark.parametrize("step_type", ["ftp_upload", "ftp_download"])
@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "give exactly one of host, connection"),
        ({"host": "h", "connection": "c"}, "give exactly one of host, connection"),
        ({"host": "h", "remote_file": "a\r\nDELE b"}, "remote_file must name a file, on one line"),
        ({"host": "h", "remote_file": "folder/"}, "remote_file must name a file"),
        ({"host": "h", "username": "a\r\nb"}, "username holds a line break"),
        ({"host": "h", "tls": "perhaps"}, "tls"),
        ({"host": "h", "port": 0}, "port:"),
        ({"host": "h", "local_file": "../a"}, "../a"),
        ({"connection": "nowhere"}, '"nowhere"'),
        ({"connection": "sftp://u@h"}, "is for SFTP"),
    ],
)
def test_what_is_refused(network: Any, step_type: str, parameters: dict[str, Any], error: str) -> None:
    """What can never be transferred as asked is refused before a connection is made."""
    network.write({"a": b"x"})
    result = network.bad(step_type, **{"local_file": "a", "remote_file": "a", **parameters})
    assert error in result.error
    assert not result.retryable


@pytest.mark.parametrize("step_type", ["ftp_upload", "ftp_download"])
def test_hosts_are_judged(run: Any, context: Any, step_type: str) -> None:
    """A host the policy forbids is refused before a connection is made."""
    context.refused_hosts.add("127.0.0.1")
    (context.workspace.root / "a").write_bytes(b"x")
    with pytest.raises(Exception, match="is not allowed"):
        run(step_type, {**LOGIN, "local_file": "a", "remote_file": "a"})
