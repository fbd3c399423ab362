"""websocket_connect: messages go out, what is expected comes in, and the connection is closed as it should be."""

from __future__ import annotations

from typing import Any

import network_servers
import pytest

# path, parameters, sent, received
GOOD: list[Any] = [
    ("/echo", {"message": "hello", "expect": "ell"}, 1, ["hello"]),
    ("/echo", {"message": {"a": [1, "é"]}, "expect": 1}, 1, ['{"a":[1,"é"]}']),
    ("/echo", {"message": 0, "expect": {"text": "0"}}, 1, ["0"]),
    ("/echo", {"messages": ["one", {"two": 2}, "three"], "expect": {"count": "3"}}, 3, ["one", '{"two":2}', "three"]),
    ("/echo", {"message": "unheard"}, 1, []),
    ("/echo", {"messages": []}, 0, []),
    ("/greet", {"expect": 1}, 0, ["welcome"]),
    ("/count", {"expect": "number 3"}, 0, ["number 1", "number 2", "number 3"]),
    ("/count", {"expect": {"regex": r"^number [2-9]$"}}, 0, ["number 1", "number 2"]),
    ("/count", {"expect": 5, "receive_timeout": "7.5"}, 0, [f"number {n}" for n in range(1, 6)]),
    ("/binary", {"expect": 1}, 0, ["AP8="]),
    ("/big", {"expect": 1, "max_bytes": 2_000_000}, 0, ["x" * 2_000_000]),
]


@pytest.mark.parametrize(("path", "parameters", "sent", "received"), GOOD)
def test_conversations(
    network: Any, websocket_server: Any, path: str, parameters: dict[str, Any], sent: int, received: list[str]
) -> None:
    """Messages are sent in order, received until what is expected is there, and the close is a normal one."""
    output = network.good("websocket_connect", url=f"ws://127.0.0.1:{websocket_server.port}{path}", **parameters)
    assert (output["connected"], output["sent"], output["received"]) == (True, sent, received)
    assert output["close_code"] == 1000
    assert output["duration_ms"] >= 0


def test_the_server_has_all_that_was_sent(network: Any) -> None:
    """A message that no answer is expected to has arrived when the step ends."""
    with network_servers.websocket() as server:
        network.good("websocket_connect", url=f"ws://127.0.0.1:{server.port}/silent", messages=["a", "b"])
        network_servers.settled(lambda: server.closed == [1000], "the server never saw the end")
        assert server.received == ["a", "b"]


def test_headers_and_credentials(network: Any) -> None:
    """Headers go with the request, a user of the URL as basic authentication, and neither secret is shown."""
    with network_servers.websocket() as server:
        result = network.bad(
            "websocket_connect",
            url=f"ws://me:hidden-word@127.0.0.1:{server.port}/echo",
            headers={"X-Trace": "t1", "X-Api-Key": "key-12345"},
            messages=["hidden-word key-12345"],
            expect="never",
            receive_timeout=0.3,
        )
        (request,) = server.requests
    assert request["X-Trace"] == "t1"
    assert request["X-Api-Key"] == "key-12345"
    assert request["Authorization"] == "Basic bWU6aGlkZGVuLXdvcmQ="
    assert result.output["received"] == ["*** ***"]


def test_tls(network: Any, authority: Any) -> None:
    """A wss server is trusted by its authority, or unseen where that is asked for, and else refused."""
    with network_servers.websocket(authority.server_pem) as server:
        network.write({"ca.pem": authority.ca_pem})
        url = f"wss://127.0.0.1:{server.port}/greet"
        assert network.good("websocket_connect", url=url, ca_file="ca.pem", expect=1)["received"] == ["welcome"]
        assert network.good("websocket_connect", url=url, verify_tls=False, expect=1)["received"] == ["welcome"]
        refused = network.bad("websocket_connect", url=url, expect=1)
        assert "is not trusted" in refused.error
        assert not refused.retryable


# path, parameters, part of the error, received
FAILING: list[Any] = [
    (
        "/count",
        {"expect": "never", "receive_timeout": 0.5},
        'a message with "never" did not arrive within 0.5 s; 5 messages did',
        5,
    ),
    ("/silent", {"expect": {"regex": "x"}, "receive_timeout": 0.3}, "a message that matches x did not arrive", 0),
    ("/silent", {"message": "x", "expect": 2, "receive_timeout": 0.3}, "2 messages did not arrive within 0.3 s", 0),
    ("/bye", {"expect": 1}, "closed the connection (code 4321): enough", 0),
    ("/cut", {"expect": 2}, "was cut off", 1),
    ("/big", {"expect": 1}, "sent a message of more than max_bytes (1048576)", 0),
    ("/flood", {"expect": "never"}, "the messages are more than max_bytes (1048576)", 104),
]


@pytest.mark.parametrize(("path", "parameters", "error", "received"), FAILING)
def test_what_fails_in_the_middle(
    network: Any, websocket_server: Any, path: str, parameters: dict[str, Any], error: str, received: int
) -> None:
    """Where what is expected does not come, the step fails and keeps what did."""
    result = network.bad("websocket_connect", url=f"ws://127.0.0.1:{websocket_server.port}{path}", **parameters)
    assert error in result.error
    assert result.retryable
    assert result.output["connected"] is True
    assert len(result.output["received"]) == received


@pytest.mark.parametrize(
    ("path", "error", "retryable"),
    [
        ("/denied", "answered with status 401", False),
        ("/missing", "answered with status 404", True),
        ("/moved", "answered with status 302", True),
    ],
)
def test_servers_that_do_not_open_one(
    network: Any, websocket_server: Any, path: str, error: str, retryable: bool
) -> None:
    """An answer that is no WebSocket fails the step with its status; redirects are not followed."""
    result = network.bad("websocket_connect", url=f"ws://127.0.0.1:{websocket_server.port}{path}")
    assert error in result.error
    assert result.retryable == retryable


def test_nobody_listens(network: Any) -> None:
    """A port without a server is a failure that another attempt may mend."""
    result = network.bad("websocket_connect", url="ws://127.0.0.1:1/")
    assert result.error.startswith("no connection to 127.0.0.1:1: ")
    assert result.retryable


def test_a_server_that_never_answers_is_given_up(network: Any) -> None:
    """The step's time bounds the opening, and the error is that of every step."""
    with network_servers.silent() as port:
        result = network.bad("websocket_connect", url=f"ws://127.0.0.1:{port}/", timeout_seconds=1)
        assert "within" in result.error or result.error == "timed out after 1 s"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "url: field required"),
        ({"url": "http://localhost/"}, "must start with ws:// or wss://"),
        ({"url": "ws:///path"}, "and name a host"),
        ({"url": "ws://h:port/"}, "the url cannot be read"),
        ({"url": "ws://h/#x"}, "no fragment"),
        ({"url": "ws://h/", "message": "a", "messages": ["b"]}, "give only one of message and messages"),
        ({"url": "ws://h/", "expect": {"regex": "("}}, "the regular expression is not valid"),
        ({"url": "ws://h/", "expect": {"text": "a", "count": 1}}, "give exactly one of text, regex, count"),
        ({"url": "ws://h/", "expect": 0}, "at least 1"),
        ({"url": "ws://h/", "headers": {"X": "a\r\nY: b"}}, "cannot be sent"),
        ({"url": "ws://h/", "headers": {"X Y": "a"}}, "cannot be sent"),
        ({"url": "ws://h/", "receive_timeout": 0}, "receive_timeout"),
        ({"url": "wss://127.0.0.1:1/", "ca_file": "../ca.pem"}, "../ca.pem"),
    ],
)
def test_what_is_refused(network: Any, parameters: dict[str, Any], error: str) -> None:
    """What can never be done as asked is refused before a connection is made."""
    result = network.bad("websocket_connect", **parameters)
    assert error in result.error
    assert not result.retryable


def test_hosts_are_judged(run: Any, context: Any) -> None:
    """A host the policy forbids is refused before a connection is made."""
    context.refused_hosts.add("127.0.0.1")
    with pytest.raises(Exception, match="is not allowed"):
        run("websocket_connect", {"url": "ws://127.0.0.1:1/"})
