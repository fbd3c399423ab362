"""ping_host: by ICMP where that is permitted, by TCP where it is not."""

from __future__ import annotations

import shutil
import socket
from typing import Any

import network_servers
import pytest
import services

# what programs called ping print; the numbers are theirs
IPUTILS = """PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.

--- 127.0.0.1 ping statistics ---
4 packets transmitted, 3 received, 25% packet loss, time 3075ms
rtt min/avg/max/mdev = 0.020/0.025/0.031/0.004 ms
"""
BUSYBOX = """PING 127.0.0.1 (127.0.0.1): 56 data bytes

--- 127.0.0.1 ping statistics ---
4 packets transmitted, 4 packets received, 0% packet loss
round-trip min/avg/max = 0.127/0.227/0.327 ms
"""
NO_ANSWER = """PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.

--- 192.0.2.1 ping statistics ---
4 packets transmitted, 0 received, +4 errors, 100% packet loss, time 3075ms
"""


def install_ping(network: Any, script: str) -> None:
    """Make a script the only ``ping`` there is."""
    network.write({"bin/ping": f"#!/bin/sh\n{script}\n"})
    (network.root / "bin/ping").chmod(0o755)
    network.environment["PATH"] = str(network.root / "bin")


@pytest.fixture
def no_ping(network: Any) -> None:
    (network.root / "bin").mkdir()
    network.environment["PATH"] = str(network.root / "bin")


def test_icmp(network: Any) -> None:
    """The ping of this machine reaches this machine."""
    if shutil.which("ping") is None:
        services.missing("ping", "apt-get install iputils-ping")
    output = network.good("ping_host", host="127.0.0.1", count=2)
    if output["method"] == "tcp":
        services.missing("ping", "this machine does not permit ICMP")
    assert (output["reachable"], output["sent"], output["received"], output["loss_percent"]) == (True, 2, 2, 0.0)
    assert 0 < output["min_ms"] <= output["avg_ms"] <= output["max_ms"]


@pytest.mark.parametrize(
    ("said", "received", "loss", "times"),
    [(IPUTILS, 3, 25.0, [0.02, 0.025, 0.031]), (BUSYBOX, 4, 0.0, [0.127, 0.227, 0.327])],
)
def test_what_pings_say(network: Any, said: str, received: int, loss: float, times: list[float]) -> None:
    """The statistics of iputils and of busybox are read alike."""
    network.write({"said": said})
    install_ping(network, 'while read -r line; do echo "$line"; done < ../workspace/said')
    output = network.good("ping_host", host="localhost", method="icmp")
    assert (output["sent"], output["received"], output["loss_percent"], output["method"]) == (4, received, loss, "icmp")
    assert [output["min_ms"], output["avg_ms"], output["max_ms"]] == times


def test_no_answer_fails_with_the_counts(network: Any) -> None:
    """A host that never answers fails the step; what was measured is kept."""
    network.write({"said": NO_ANSWER})
    install_ping(network, 'while read -r line; do echo "$line"; done < said; exit 1')
    result = network.bad("ping_host", host="127.0.0.1")
    assert result.error == "127.0.0.1 did not answer (icmp, asked 4 times)"
    assert result.retryable
    assert result.output == {
        "reachable": False,
        "sent": 4,
        "received": 0,
        "loss_percent": 100.0,
        "min_ms": None,
        "avg_ms": None,
        "max_ms": None,
        "method": "icmp",
    }


def test_ping_is_asked_with_an_address_and_bounds(network: Any) -> None:
    """The name is resolved once, and ping gets its address, the count and a deadline."""
    network.write({"said": IPUTILS})
    install_ping(network, 'printf "%s\\n" "$*" > args; while read -r line; do echo "$line"; done < said')
    network.good("ping_host", host="127.0.0.1", count=3, timeout=1.5)
    assert (network.root / "args").read_text() == "-n -q -c 3 -W 2 -w 5 127.0.0.1\n"


def test_tcp_where_ping_is_not_permitted(network: Any) -> None:
    """With auto, a ping that may not open its socket gives way to TCP."""
    install_ping(network, "echo 'ping: socket: Operation not permitted' >&2; exit 2")
    with network_servers.silent() as port:
        output = network.good("ping_host", host="127.0.0.1", port=port, count=3)
    assert (output["method"], output["sent"], output["received"], output["loss_percent"]) == ("tcp", 3, 3, 0.0)
    assert 0 < output["min_ms"] <= output["avg_ms"] <= output["max_ms"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_a_refused_connection_is_an_answer(network: Any, no_ping: None, host: str) -> None:
    """Without ping, TCP is asked; a host that refuses the connection is there."""
    if ":" in host and not _has_ipv6():
        services.missing("IPv6", "this machine has no ::1")
    output = network.good("ping_host", host=host, count=1, port=1)
    assert (output["reachable"], output["method"]) == (True, "tcp")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_tcp_without_an_answer(network: Any, no_ping: None) -> None:
    """An address that no connection can be made to fails the step with its counts."""
    result = network.bad("ping_host", host="255.255.255.255", method="tcp", count=2, timeout=0.5)
    assert result.error == "255.255.255.255 did not answer (tcp, asked 2 times)"
    assert (result.output["sent"], result.output["received"], result.output["loss_percent"]) == (2, 0, 100.0)


def test_an_unknown_name(network: Any) -> None:
    """A name that cannot be resolved is a failure that names it."""
    result = network.bad("ping_host", host="no-such-host.invalid")
    assert result.error.startswith('"no-such-host.invalid" cannot be resolved')


def test_icmp_alone_is_refused_where_it_is_not_possible(network: Any, no_ping: None) -> None:
    """Asked for ICMP alone, a machine without ping says what to install."""
    result = network.bad("ping_host", host="127.0.0.1", method="icmp")
    assert "iputils-ping" in result.error
    assert not result.retryable


def test_a_ping_that_hangs_is_stopped(network: Any) -> None:
    """On time-out ping ends with the step."""
    install_ping(network, "exec /bin/sleep 600")
    assert network.bad("ping_host", host="127.0.0.1", timeout_seconds=1).error == "timed out after 1 s"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "host: field required"),
        ({"host": ""}, "is not the name or the address"),
        ({"host": "-c1"}, "is not the name or the address"),
        ({"host": "a b"}, "is not the name or the address"),
        ({"host": "h", "count": 0}, "count:"),
        ({"host": "h", "count": "many"}, "count:"),
        ({"host": "h", "timeout": 0}, "timeout:"),
        ({"host": "h", "port": 70000}, "port:"),
        ({"host": "h", "method": "udp"}, "method:"),
    ],
)
def test_what_is_refused(network: Any, parameters: dict[str, Any], error: str) -> None:
    """What can never be asked is refused."""
    result = network.bad("ping_host", **parameters)
    assert error in result.error
    assert not result.retryable


def test_hosts_are_judged(run: Any, context: Any) -> None:
    """A host the policy forbids is refused before it is resolved or asked."""
    context.refused_hosts.add("127.0.0.1")
    with pytest.raises(Exception, match="is not allowed"):
        run("ping_host", {"host": "127.0.0.1"})
