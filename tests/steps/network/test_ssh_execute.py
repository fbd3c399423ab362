"""ssh_execute: commands on known hosts, with streams apart and their ends seen to, against OpenSSH and asyncssh."""

from __future__ import annotations

import subprocess
import tracemalloc
from typing import Any

import network_servers
import pytest
import services


def execute(network: Any, server: Any, **parameters: Any) -> Any:
    """Run a command on a server, logged in with its key."""
    for name in ("id_ed25519", "id_other", "id_protected", "known_hosts"):
        if not (network.root / name).exists():
            network.write({name: (server.home / name).read_bytes()})
    login = {"host": "127.0.0.1", "port": server.port, "username": server.user, "known_hosts": "known_hosts"}
    if "password" not in parameters and server.name == "asyncssh":
        login["password"] = services.PASSWORD
    elif server.name == "OpenSSH":
        login["key_file"] = "id_ed25519"
    return network.run("ssh_execute", **{**login, **parameters})


# parameters, stdout, stderr
COMMANDS: list[Any] = [
    ({"command": "echo out; echo err >&2"}, "out\n", "err\n"),
    ({"command": "printf %s", "args": ["a b'c\"$HOME `id`; é☃"]}, "a b'c\"$HOME `id`; é☃", ""),
    ({"command": "printf '[%s]'", "args": ["", "-n", "*"]}, "[][-n][*]", ""),
    ({"command": "cat", "stdin": "text\nmore"}, "text\nmore", ""),
    ({"command": "cat"}, "", ""),
    ({"command": 'echo "$A-$B"', "environment": {"A": "x y'z", "B": "2"}}, "x y'z-2\n", ""),
    ({"command": "exit 3", "check": False}, "", ""),
    ({"command": "printf '\\377x'"}, "\ufffdx", ""),
    ({"command": "true", "passphrase": services.PASSWORD, "key_file": "id_protected"}, "", ""),
]


@pytest.mark.parametrize(("parameters", "stdout", "stderr"), COMMANDS)
def test_commands(network: Any, sshd: Any, parameters: dict[str, Any], stdout: str, stderr: str) -> None:
    """The streams and the exit code come back apart; arguments, variables and input arrive as they are."""
    result = execute(network, sshd, **parameters)
    assert result.error is None, result.error
    output = result.output
    assert (output["stdout"], output["stderr"]) == (stdout, stderr)
    assert output["exit_code"] == (3 if parameters["command"] == "exit 3" else 0)
    assert output["host"] == f"127.0.0.1:{sshd.port}"
    assert output["truncated"] is False
    assert output["duration_ms"] >= 0


def test_a_failing_command(network: Any, sshd: Any) -> None:
    """An exit code other than 0 fails the step with all that was said."""
    result = execute(network, sshd, command="echo out; echo 'it broke' >&2; exit 7")
    assert result.error == f"the command on 127.0.0.1:{sshd.port} ended with exit code 7: it broke"
    assert result.retryable
    assert (result.output["stdout"], result.output["stderr"], result.output["exit_code"]) == ("out\n", "it broke\n", 7)


def test_a_command_that_is_killed(network: Any, sshd: Any) -> None:
    """A command without an exit code is a failure, also where exit codes are not checked."""
    result = execute(network, sshd, command="echo out; kill -9 $$", check=False)
    assert "ended without an exit code" in result.error
    assert (result.output["stdout"], result.output["exit_code"]) == ("out\n", None)


def test_a_connection_by_id_or_url(network: Any, asyncssh_server: Any) -> None:
    """Host, port and login may come from a connection, whose password is nowhere shown."""
    network.write({"known_hosts": (asyncssh_server.home / "known_hosts").read_bytes()})
    url = f"ssh://{network_servers.USER}:{services.ENCODED_PASSWORD}@127.0.0.1:{asyncssh_server.port}"
    network.environment["AIRFLOW_CONN_MACHINE"] = url
    for connection in ("machine", url):
        output = network.good(
            "ssh_execute", connection=connection, command="say", args=[services.PASSWORD], known_hosts="known_hosts"
        )
        assert services.PASSWORD not in output["stdout"]
        assert "***" in output["stdout"]


def test_a_connection_with_keys(network: Any, sshd: Any) -> None:
    """A connection may hold the private key and the host's key itself, as Airflow's do."""
    import json

    _kind, host_key, *_comment = (sshd.home / "host.pub").read_text().split()
    network.environment["HOME"] = str(network.root)
    network.environment["AIRFLOW_CONN_MACHINE"] = json.dumps(
        {
            "conn_type": "ssh",
            "host": "127.0.0.1",
            "port": sshd.port,
            "login": sshd.user,
            "extra": {
                "private_key": (sshd.home / "id_ed25519").read_text(),
                "host_key": f"ssh-ed25519 {host_key}",
            },
        }
    )
    assert network.good("ssh_execute", connection="machine", command="echo hello")["stdout"] == "hello\n"


# --- who is who -----------------------------------------------------------------------------------


def test_a_host_that_is_not_known_is_refused(network: Any, sshd: Any) -> None:
    """Strict is the default: an unknown host is refused with its fingerprint, and nothing is remembered."""
    network.write({"known_hosts": "other-host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ\n"})
    result = execute(network, sshd, command="true")
    assert "is not a known host" in result.error
    assert "SHA256:" in result.error
    assert not result.retryable
    assert (network.root / "known_hosts").read_text().startswith("other-host")
    assert str(sshd.port) not in (network.root / "known_hosts").read_text()


def test_accept_new_remembers_a_host(network: Any, sshd: Any) -> None:
    """With accept_new an unknown host is remembered, and from then on is known to strict."""
    assert execute(network, sshd, command="true", known_hosts="hosts", host_key="accept_new").error is None
    assert (network.root / "hosts").read_text() == (sshd.home / "known_hosts").read_text()
    assert execute(network, sshd, command="true", known_hosts="hosts").error is None


@pytest.mark.parametrize("host_key", ["strict", "accept_new"])
def test_a_changed_host_key_is_refused(network: Any, sshd: Any, host_key: str) -> None:
    """A host that shows another key than the known one is refused, with accept_new too."""
    kind, key, *_comment = (sshd.home / "id_other.pub").read_text().split()
    network.write({"known_hosts": f"[127.0.0.1]:{sshd.port} {kind} {key}\n"})
    result = execute(network, sshd, command="true", host_key=host_key)
    assert "shows another host key than the one that is known" in result.error
    assert not result.retryable


def test_hashed_names_are_known(network: Any, sshd: Any) -> None:
    """A file whose names are hashed works as one in the clear."""
    network.write({"known_hosts": (sshd.home / "known_hosts").read_bytes()})
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", network.root / "known_hosts"], check=True, capture_output=True)
    assert (network.root / "known_hosts").read_text().startswith("|1|")
    assert execute(network, sshd, command="true").error is None


def test_the_users_own_known_hosts(network: Any, sshd: Any) -> None:
    """Without known_hosts the file of the user's home is used, and accept_new adds to it."""
    network.environment["HOME"] = str(network.root / "home")
    assert "is not a known host" in execute(network, sshd, command="true", known_hosts=None).error
    assert execute(network, sshd, command="true", known_hosts=None, host_key="accept_new").error is None
    assert (network.root / "home/.ssh/known_hosts").read_text() == (sshd.home / "known_hosts").read_text()
    assert execute(network, sshd, command="true", known_hosts=None).error is None


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"key_file": "id_other"}, "did not let"),
        ({"key_file": "id_protected"}, "key_file id_protected is protected; give its passphrase"),
        ({"key_file": "id_protected", "passphrase": "wrong-one"}, "the passphrase is wrong"),
        ({"key_file": "known_hosts"}, "key_file known_hosts cannot be used"),
        ({"key_file": None, "agent": False}, "failed"),
    ],
)
def test_logins_that_fail(network: Any, sshd: Any, parameters: dict[str, Any], error: str) -> None:
    """A key that does not fit, or cannot be opened, fails the step and says which it is."""
    result = execute(network, sshd, command="true", **parameters)
    assert error in result.error
    assert "wrong-one" not in result.error


def test_a_wrong_password_is_refused(network: Any, asyncssh_server: Any) -> None:
    """Who may not log in is refused, by name and without the password."""
    result = execute(network, asyncssh_server, command="say x", password="not-the-one")
    assert f'did not let "{network_servers.USER}" log in' in result.error
    assert "not-the-one" not in result.error
    assert not result.retryable


# --- time, cuts and size --------------------------------------------------------------------------


def is_running(marker: str) -> bool:
    """Whether a sleep with this odd duration runs on this machine."""
    return subprocess.run(["pgrep", "-f", f"sleep {marker}"], capture_output=True, check=False).returncode == 0


def test_a_command_that_takes_too_long_is_ended(network: Any, sshd: Any) -> None:
    """After its own time-out the command and its children are ended on the server, and what it said is kept."""
    result = execute(network, sshd, command="echo started; sleep 86399.1 & sleep 86399.1", timeout=1)
    assert result.error == f"the command on 127.0.0.1:{sshd.port} timed out after 1 s"
    assert (result.output["stdout"], result.output["exit_code"]) == ("started\n", None)
    network_servers.settled(lambda: not is_running("86399.1"), "the remote command lives on")


def test_a_step_that_takes_too_long_ends_its_command(network: Any, sshd: Any) -> None:
    """When the step's time is up, the command is ended on the server too."""
    result = execute(network, sshd, command="sleep 86399.2", timeout_seconds=2)
    assert result.error == "timed out after 2 s"
    network_servers.settled(lambda: not is_running("86399.2"), "the remote command lives on")


def test_a_command_that_ignores_term_is_killed(network: Any, sshd: Any) -> None:
    """A command that takes no notice of TERM is killed."""
    result = execute(network, sshd, command="trap '' TERM; while :; do sleep 86399.3; done", timeout=1)
    assert "timed out after 1 s" in result.error
    network_servers.settled(lambda: not is_running("86399.3"), "the remote command lives on")


def test_a_server_that_takes_no_signals(network: Any, asyncssh_server: Any) -> None:
    """Where the server does not end the command, the step ends all the same."""
    result = execute(network, asyncssh_server, command="hang", timeout=0.5)
    assert "timed out after 0.5 s" in result.error
    assert result.output["stdout"] == "waiting\n"


def test_a_connection_that_is_cut(network: Any, asyncssh_server: Any) -> None:
    """A connection that is cut fails the step and keeps what had come; it is not taken for an exit."""
    result = execute(network, asyncssh_server, command="cut", check=False)
    assert "was cut off" in result.error
    assert result.retryable
    assert result.output["exit_code"] is None


def test_big_output_is_bounded(network: Any, sshd: Any) -> None:
    """What is beyond max_output_bytes is dropped, on each stream, and the output says so."""
    command = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 10 /dev/zero | tr '\\0' y >&2"
    result = execute(network, sshd, command=command, max_output_bytes=1000)
    assert result.error is None, result.error
    assert (len(result.output["stdout"]), result.output["stderr"]) == (1000, "y" * 10)
    assert result.output["truncated"] is True


def test_100_megabytes_in_bounded_memory(run: Any, context: Any, sshd: Any) -> None:
    """However much a command says, only what is kept takes memory."""
    for name in ("id_ed25519", "known_hosts"):
        (context.workspace.root / name).write_bytes((sshd.home / name).read_bytes())
    tracemalloc.start()
    try:
        output = run(
            "ssh_execute",
            {
                "host": "127.0.0.1",
                "port": sshd.port,
                "username": sshd.user,
                "key_file": "id_ed25519",
                "known_hosts": "known_hosts",
                "command": "head -c 104857600 /dev/zero",
                "max_output_bytes": 100,
            },
        )
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert output["truncated"] is True
    assert peak < 32 * 1024 * 1024


def test_nobody_listens_or_speaks(network: Any, sshd: Any) -> None:
    """A port without a server, or with another one, fails the step with its name."""
    result = execute(network, sshd, command="true", port=1)
    assert result.error.startswith("no connection to 127.0.0.1:1: ")
    assert result.retryable
    with network_servers.silent() as port:
        result = execute(network, sshd, command="true", port=port, timeout_seconds=2)
        assert "timed out after 2 s" in result.error or "127.0.0.1" in result.error


def test_what_needs_a_file_that_is_not_there(network: Any, sshd: Any) -> None:
    """A known_hosts or key file that is missing is named."""
    assert execute(network, sshd, command="true", known_hosts="none").error == "no such file: none"
    assert execute(network, sshd, command="true", key_file="none").error == "no such file: none"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"host": "h"}, "command: field required"),
        ({"command": "true"}, "give exactly one of host, connection"),
        ({"command": "true", "host": "h", "connection": "c"}, "give exactly one of host, connection"),
        ({"command": "true", "host": "h"}, "username is missing"),
        ({"command": "", "host": "h", "username": "u"}, "command:"),
        ({"command": "true", "host": "h", "username": "u", "host_key": "ignore"}, "host_key:"),
        (
            {"command": "true", "host": "h", "username": "u", "environment": {"A-B": "x"}},
            "is not the name of a variable",
        ),
        ({"command": "a\0b", "host": "h", "username": "u"}, "NUL byte"),
        ({"command": "true", "host": "h", "username": "u", "key_file": "../id"}, "../id"),
        ({"command": "true", "host": "h", "username": "u", "known_hosts": "/etc/hosts"}, "/etc/hosts"),
        ({"command": "true", "connection": "nowhere"}, '"nowhere"'),
    ],
)
def test_what_is_refused(network: Any, parameters: dict[str, Any], error: str) -> None:
    """What can never be run as asked is refused before a connection is made."""
    result = network.bad("ssh_execute", **parameters)
    assert error in result.error
    assert not result.retryable


def test_hosts_are_judged(run: Any, context: Any) -> None:
    """A host the policy forbids is refused before a connection is made."""
    context.refused_hosts.add("127.0.0.1")
    with pytest.raises(Exception, match="is not allowed"):
        run("ssh_execute", {"host": "127.0.0.1", "username": "u", "command": "true"})
