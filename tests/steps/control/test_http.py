"""http: a request to a real server, and the many ways in which there is no response."""

from __future__ import annotations

import base64
import json
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps.sdk import Connection, StepError, StepRefused


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"method": "GET", "body": ""}),
    ({"method": "delete"}, {"method": "DELETE"}),
    ({"params": {"q": "a b", "n": 5, "tag": ["x", "y"], "flag": True, "no": None}},
     {"query": [["q", "a b"], ["n", "5"], ["tag", "x"], ["tag", "y"], ["flag", "true"]]}),
    ({"query": "a=1&b=2"}, {"query": [["a", "1"], ["b", "2"]]}),
    ({"method": "POST", "body": "as it is"}, {"body": "as it is"}),
    ({"method": "POST", "body": '{"not": "encoded twice"}'}, {"body": '{"not": "encoded twice"}'}),
    ({"method": "POST", "body": {"a": [1, None]}}, {"body": '{"a":[1,null]}'}),
    ({"method": "PUT", "json": "text"}, {"body": '"text"'}),
    ({"method": "POST", "form": {"a": "1 2", "b": ["x", 3]}}, {"body": "a=1+2&b=x&b=3"}),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "expected"), REQUESTS)
def test_request(run, web, parameters, expected):
    """The server is sent the method, query and body that the mission wrote."""
    seen = run("http", {"url": web.url("/echo"), **parameters})["response"]
    assert {name: seen[name] for name in expected} == expected


CONTENT_TYPES = [
    ({"body": "text"}, None),
    ({"body": {"a": 1}}, "application/json"),
    ({"json": [1]}, "application/json"),
    ({"form": {"a": 1}}, "application/x-www-form-urlencoded"),
    ({"body": {"a": 1}, "headers": {"Content-Type": "application/vnd.x+json"}}, "application/vnd.x+json"),
]


@pytest.mark.parametrize(("parameters", "content_type"), CONTENT_TYPES)
def test_content_type(run, web, parameters, content_type):
    """Only a body that the step encodes itself has a content type, and the mission's own wins."""
    seen = run("http", {"url": web.url("/echo"), "method": "POST", **parameters})["response"]
    assert seen["headers"].get("content-type") == content_type


def test_body_file(run, web):
    """body_file is sent from disk as it is, its length announced."""
    content = bytes(range(256)) * 1000
    seen = run("http", {"url": web.url("/echo"), "method": "PUT", "body_file": "b.bin"}, files={"b.bin": content})
    assert seen["response"]["body"].encode("latin-1") == content
    assert seen["response"]["headers"]["content-length"] == str(len(content))


def test_body_file_survives_a_redirect(run, web):
    """A redirect that keeps the method has the file sent again, whole."""
    url = web.url("/redirect/307/echo")
    seen = run("http", {"url": url, "method": "POST", "body_file": "b"}, files={"b": "content"})["response"]
    assert (seen["method"], seen["body"]) == ("POST", "content")


def test_two_bodies_are_refused(run, web):
    """A request has one body: which of two is meant, nobody knows."""
    with pytest.raises(ValidationError, match="give only one of"):
        run("http", {"url": web.url(), "body": "a", "json": {}})


@pytest.mark.parametrize(
    ("auth", "authorization"),
    [
        ({"basic": {"username": "ann", "password": "pass:word"}}, _basic("ann", "pass:word")),
        ({"bearer": "token-123456"}, "Bearer token-123456"),
        ({"token": "token-123456"}, "Bearer token-123456"),
    ],
)
def test_auth(run, web, context, auth, authorization):
    """auth becomes the Authorization header, and what is secret in it is masked."""
    seen = run("http", {"url": web.url("/echo"), "auth": auth})["response"]
    assert seen["headers"]["authorization"] == authorization
    assert authorization.split()[1] in context.masked


def test_credentials_in_the_url(run, web, context):
    """A login in the url is used, masked, and not shown in the output."""
    output = run("http", {"url": f"http://ann:s3cr3t%21@127.0.0.1:{web.port}/echo"})
    assert output["response"]["headers"]["authorization"] == _basic("ann", "s3cr3t!")
    assert output["url"] == web.url("/echo")
    assert "s3cr3t!" in context.masked


@pytest.mark.parametrize(
    "connection",
    [
        {"kind": "http", "host": "127.0.0.1", "database": "http"},
        {"kind": "http", "host": "http://127.0.0.1"},
    ],
)
def test_connection(run, web, context, connection):
    """A connection gives address, login and headers, as Airflow's HTTP hook reads them."""
    context.connections.known["api"] = Connection(
        **connection, port=web.port, login="ann", password="pw", extra={"X-Team": "blue", "timeout": 3}
    )
    seen = run("http", {"connection": "api", "url": "v1/echo"})["response"]
    assert seen["path"] == "/v1/echo"
    assert seen["headers"]["authorization"] == _basic("ann", "pw")
    assert seen["headers"]["x-team"] == "blue"
    assert "timeout" not in seen["headers"]


def test_connection_by_url(run, web, context):
    """Where a connection is a URL, its path is where the step's url starts."""
    context.connections.known["u"] = Connection(kind="http", host="127.0.0.1", port=web.port, database="base")
    assert run("http", {"connection": "u", "url": "/x"})["response"]["path"] == "/base/x"


def test_connection_credentials_stay_with_its_host(run, web, context):
    """A url that leads elsewhere than the connection is refused: it would carry the login there."""
    context.connections.known["api"] = Connection(kind="http", host="api.invalid", login="ann", password="pw")
    with pytest.raises(StepRefused, match=r"leads to 127\.0\.0\.1, and the connection to api\.invalid"):
        run("http", {"connection": "api", "url": web.url()})
    assert web.requests == []


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("/bytes/3", "xxx"),
        ("/latin1", "déjà vu"),
        ("/gzip/5", "zzzzz"),
        ("/broken_json", '{"a": NaN}'),
        ("/status/200", {"reason": "because"}),
    ],
)
def test_response(run, web, path, response):
    """The response is a JSON value when it is JSON, else text in its own charset, decompressed."""
    assert run("http", {"url": web.url(path)})["response"] == response


def test_output(run, web):
    """The output has the status, lower-case headers, size and final address."""
    output = run("http", {"url": web.url("/redirect/302/bytes/4?x=1")})
    assert output["status"] == 200
    assert output["headers"]["content-type"] == "text/plain"
    assert output["size"] == 4
    assert output["method"] == "GET"
    assert output["url"] == web.url("/bytes/4")


def test_cookies_are_masked(run, web):
    """The value of a cookie that the server sets is not shown."""
    assert run("http", {"url": web.url("/cookie")})["headers"]["set-cookie"] == "session=***; Path=/; HttpOnly"


def test_head(run, web):
    """A response without a body has an empty one."""
    output = run("http", {"url": web.url("/bytes/100"), "method": "HEAD"})
    assert (output["response"], output["size"]) == ("", 0)


@pytest.mark.parametrize(
    ("expected_status", "status", "accepted"),
    [
        (200, 200, True),
        (200, 201, False),
        ([200, 404], 404, True),
        (["2xx", 404], 404, True),
        ("2xx", 204, True),
        ("2XX", 500, False),
        ("404", 404, True),
        (None, 299, True),
        (None, 301, False),
        (None, 503, False),
    ],
)
def test_expected_status(run, web, expected_status, status, accepted):
    """expected_status is a code, a class of codes, or a list of them; left out, 2xx."""
    parameters = {"url": web.url(f"/status/{status}"), "follow_redirects": False}
    if expected_status is not None:
        parameters["expect_status"] = expected_status
    if accepted:
        assert run("http", parameters)["status"] == status
    else:
        with pytest.raises(StepError, match=f"status {status}") as failure:
            run("http", parameters)
        assert failure.value.output.status == status
        assert failure.value.output.response == {"reason": "because"}


@pytest.mark.parametrize("expected_status", ["6xx", "2x", 99, [], [None], True])
def test_bad_expected_status(run, web, expected_status):
    """What is no status code is an invalid parameter."""
    with pytest.raises(ValidationError):
        run("http", {"url": web.url(), "expected_status": expected_status})


def test_response_too_large(run, web):
    """A response beyond max_response_bytes fails; it is never cut."""
    assert run("http", {"url": web.url("/bytes/1000"), "max_response_bytes": 1000})["size"] == 1000
    with pytest.raises(StepRefused, match="larger than 999 bytes") as failure:
        run("http", {"url": web.url("/bytes/1000"), "max_response_bytes": 999})
    assert failure.value.output.status == 200
    assert failure.value.output.response is None


def test_compressed_response_too_large(run, web):
    """The limit counts decompressed bytes: a small download may not become a large response."""
    with pytest.raises(StepRefused, match="larger than"):
        run("http", {"url": web.url("/gzip/30000000")})


def test_output_file(run, web, workspace):
    """output_file takes responses of any size and kind."""
    output = run("http", {"url": web.url("/bytes/20000000"), "output_file": "deep/x.bin"})
    assert (workspace.root / "deep/x.bin").stat().st_size == output["size"] == 20_000_000
    assert output["output_file"] == "deep/x.bin"
    assert output["response"] is None


@pytest.mark.parametrize(
    ("path", "more"), [("/truncated", {}), ("/status/500", {}), ("/bytes/100", {"max_response_bytes": 10})]
)
def test_output_file_is_whole_or_untouched(run, web, workspace, path, more):
    """A download that fails leaves the file as it was."""
    with pytest.raises(StepError):
        run("http", {"url": web.url(path), "output_file": "x", **more}, files={"x": "before"})
    assert (workspace.root / "x").read_text() == "before"
    assert [entry.name for entry in workspace.root.iterdir()] == ["x"]


def test_binary_needs_a_file(run, web, workspace):
    """A response that is not text cannot be a JSON output: the step asks for a file."""
    with pytest.raises(StepRefused, match="image/png, not text: give an output_file"):
        run("http", {"url": web.url("/binary")})
    run("http", {"url": web.url("/binary"), "output_file": "x.png"})
    assert (workspace.root / "x.png").read_bytes() == b"\x89PNG\x00\xff\xfe"


FAULTS = [
    ("/truncated", "peer closed connection|incomplete"),
    ("/hang_up", "disconnected|closed the connection"),
    ("/not_gzip", "incorrect header|decod"),
    ("/loop", "more than 20 redirects"),
]


@pytest.mark.parametrize(("path", "message"), FAULTS)
def test_faults_of_the_server(run, web, path, message):
    """A broken answer is one line of error, and another attempt may help."""
    with pytest.raises(StepError, match=message) as failure:
        run("http", {"url": web.url(path)})
    assert "\n" not in str(failure.value)
    assert not isinstance(failure.value, StepRefused)


@pytest.mark.parametrize("path", ["/never", "/drip"])
def test_timeout(run, web, path):
    """timeout bounds the whole exchange, however the server spends it."""
    with pytest.raises(StepError, match=r"timed out after 0\.3 s"):
        run("http", {"url": web.url(path), "timeout": 0.3})


def test_connection_refused(run):
    """A port where nobody listens is said to be just that."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(StepError, match=f"GET http://127.0.0.1:{port}/: connection refused"):
            run("http", {"url": f"http://127.0.0.1:{port}/"})


def test_unknown_host(run):
    """A host name that does not exist is said to be just that."""
    with pytest.raises(StepError, match="the host name cannot be resolved"):
        run("http", {"url": "http://no-such-host.invalid/"})


@pytest.mark.parametrize(
    "url", ["ftp://example.com/x", "file:///etc/passwd", "example.com/x", "http://", "http://[::1", "http://a\x00b/"]
)
def test_bad_urls(run, url):
    """Only http and https addresses are asked; another attempt would not help."""
    with pytest.raises(StepRefused):
        run("http", {"url": url})


def test_no_url(run):
    """A request needs an address."""
    with pytest.raises(StepRefused, match="give a url"):
        run("http", {})


def test_redirect_to_another_scheme(run, web):
    """A redirect does not lead out of http and https."""
    with pytest.raises(StepRefused, match="ftp://"):
        run("http", {"url": web.url("/ftp_redirect")})


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT")],
)
def test_redirect_method(run, web, status, method, then):
    """Redirects change the method and drop the body only where HTTP says so."""
    seen = run("http", {"url": web.url(f"/redirect/{status}/echo"), "method": method, "body": "b"})["response"]
    assert (seen["method"], seen["body"]) == (then, "b" if then == method else "")


def test_redirects_not_followed(run, web):
    """Without follow_redirects a redirect is a response like another."""
    output = run("http", {"url": web.url("/redirect/302/x"), "follow_redirects": False, "expected_status": 302})
    assert output["headers"]["location"] == "/x"


@pytest.mark.parametrize("same_origin", [True, False])
def test_secrets_do_not_follow_redirects_elsewhere(run, web, other_web, same_origin):
    """Credentials and secret headers go to the origin they were meant for, and to no other."""
    target = web if same_origin else other_web
    run("http", {
        "url": web.url(f"/redirect/307/to:127.0.0.1:{target.port}/echo"),
        "auth": {"bearer": "token-123456"},
        "headers": {"X-Api-Key": "key-123456", "X-Plain": "plain"},
    })  # fmt: skip
    sent = target.requests[-1]["headers"]
    assert ("authorization" in sent, "x-api-key" in sent) == (same_origin, same_origin)
    assert sent["x-plain"] == "plain"


def test_every_host_is_checked(run, web, context):
    """A redirect to a host the policy forbids is refused before it is asked."""
    context.refused_hosts.add("localhost")
    with pytest.raises(StepRefused, match='host "localhost" is not allowed'):
        run("http", {"url": web.url(f"/redirect/302/to:localhost:{web.port}/echo")})
    assert [request["path"].split("/")[1] for request in web.requests] == ["redirect"]


@pytest.mark.usefixtures("trusted")
def test_tls(run, tls_web):
    """A server with a certificate that the environment trusts is asked over TLS."""
    assert run("http", {"url": tls_web.url("/bytes/2", host="localhost")})["response"] == "xx"


@pytest.mark.usefixtures("trusted")
def test_tls_from_a_plain_redirect(run, web, tls_web):
    """A certificate is checked as strictly when a redirect led from http to https."""
    trusted = web.url("/redirect_to?" + tls_web.url("/bytes/2", host="localhost"))
    assert run("http", {"url": trusted})["response"] == "xx"
    with pytest.raises(StepError, match="certificate is not trusted"):
        run("http", {"url": web.url("/redirect_to?" + tls_web.url("/bytes/2"))})


def test_untrusted_certificate(run, tls_web):
    """A certificate that nobody trusts fails the step, unless verify_tls is off."""
    url = tls_web.url("/bytes/2", host="localhost")
    with pytest.raises(StepError, match="the server's certificate is not trusted"):
        run("http", {"url": url})
    assert run("http", {"url": url, "verify_tls": False})["response"] == "xx"


def test_tls_to_a_plain_server(run, web):
    """A server that does not speak TLS is said to be just that."""
    with pytest.raises(StepError, match="TLS failed"):
        run("http", {"url": f"https://127.0.0.1:{web.port}/"})


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: b"}, {"X A": "a"}, {"X-A\r\nX-B": "b"}])
def test_header_injection(run, web, headers):
    """A header cannot smuggle in another one."""
    with pytest.raises(StepRefused, match="holds characters that a header cannot"):
        run("http", {"url": web.url(), "headers": headers})
    assert web.requests == []


def test_missing_body_file(run, web):
    """A body_file that is not there is named."""
    with pytest.raises(StepError, match='body_file "nope" is not a file'):
        run("http", {"url": web.url(), "method": "POST", "body_file": "nope"})


def test_in_isolation(web, tmp_path):
    """In a child of the fork server, which has prepared for it, a request is what it is here."""
    run = MissionRun("m", "1.0", "run-1", datetime.now(UTC), str(tmp_path))
    planned = PlannedStep("get", "get", StepType.HTTP, 0, {"url": web.url("/status/200"), "output_file": "x.json"})
    with ForkServer() as fork_server, StopToken(60) as stop:
        result = run_step(planned, StepRuntime(ExecutionContext(run), fork_server=fork_server), stop=stop)
    assert (result.status, result.error) == (StepStatus.SUCCESS, None)
    assert json.loads((tmp_path / "x.json").read_text()) == {"reason": "because"}
