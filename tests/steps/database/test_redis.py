"""redis_set and redis_get against a Redis server, with and without TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import services
from pydantic import ValidationError

from rustchain_airflow.runtime.connections import LocalConnections
from rustchain_airflow.semantics import StepStatus
from rustchain_airflow.steps.sdk import StepError, StepRefused


@pytest.fixture
def url(redis: services.Server, context: Any) -> str:
    """The URL of a server without keys, known to the context's connections."""
    context.connections = LocalConnections({})
    client(redis).flushall()
    return redis.url


def client(server: services.Server, **options: Any) -> Any:
    """The driver's own client."""
    from redis import Redis

    return Redis.from_url(server.url, **options)


@pytest.mark.parametrize(
    ("value", "stored", "as_json"),
    [
        ("text", b"text", None),
        ("", b"", None),
        ("ünïcödé 🚀\n", "ünïcödé 🚀\n".encode(), None),
        ('{"a": 1}', b'{"a": 1}', {"a": 1}),
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode(), {"a": [1, None, "ü"]}),
        ([1, 2], b"[1,2]", [1, 2]),
        (3, b"3", 3),
        (1.5, b"1.5", 1.5),
        (True, b"true", True),
        (None, b"null", None),
        ("x" * 10_000_000, b"x" * 10_000_000, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_is_stored_and_read_back(
    run: Any, url: str, redis: services.Server, value: Any, stored: bytes, as_json: Any
) -> None:
    """Text as it is, all else as JSON."""
    assert run("redis_set", {"redis_url": url, "key": "k", "value": value}) == {"key": "k", "set": True, "ttl": None}
    assert client(redis).get("k") == stored
    got = run("redis_get", {"connection": url, "key": "k"})
    assert got == {"key": "k", "value": stored.decode(), "exists": True, "ttl": None}
    if as_json is not None:
        assert run("redis_get", {"connection": url, "key": "k", "parse": "json"})["value"] == as_json


@pytest.mark.parametrize(("default", "value"), [({}, None), ({"default": {"a": 1}}, {"a": 1})])
def test_a_missing_key_gives_the_default(run: Any, url: str, default: Any, value: Any) -> None:
    """It is no failure, and null where no default is given."""
    got = run("redis_get", {"connection": url, "key": "none", **default})
    assert got == {"key": "none", "value": value, "exists": False, "ttl": None}


def test_a_key_expires_after_its_ttl(run: Any, url: str, redis: services.Server) -> None:
    """Seconds and parts of them; setting a key without ttl lifts the expiry of before."""
    given = {"connection": url, "key": "k", "value": "v"}
    assert run("redis_set", {**given, "ttl": "90.5"})["ttl"] == 90.5
    assert 80 < run("redis_get", {"connection": url, "key": "k"})["ttl"] <= 90.5
    assert client(redis).pttl("k") > 80_000
    assert run("redis_set", given)["ttl"] is None
    assert client(redis).pttl("k") == -1
    run("redis_set", {**given, "ttl": 0.001})
    services.wait_until(lambda: not run("redis_get", {"connection": url, "key": "k"})["exists"], "the expiry")


@pytest.mark.parametrize(
    ("only_if", "before", "stored"),
    [("missing", None, True), ("missing", "old", False), ("exists", None, False), ("exists", "old", True)],
)
def test_a_condition_is_checked_with_the_write(
    run: Any, url: str, redis: services.Server, only_if: str, before: str | None, stored: bool
) -> None:
    """Where it does not hold, nothing changes and the output says so."""
    if before:
        client(redis).set("k", before)
    output = run("redis_set", {"connection": url, "key": "k", "value": "new", "only_if": only_if, "ttl": 60})
    assert output == {"key": "k", "set": stored, "ttl": 60.0 if stored else None}
    assert client(redis).get("k") == (b"new" if stored else before and before.encode())


def test_databases_are_apart(run: Any, url: str) -> None:
    """The number in the URL chooses one."""
    run("redis_set", {"connection": url, "key": "k", "value": "zero"})
    assert run("redis_get", {"connection": url[:-1] + "3", "key": "k"})["exists"] is False


@pytest.mark.parametrize(
    ("stored", "parse", "message"),
    [
        (b"\xff\xfe", "text", 'key "k" holds 2 bytes that are not UTF-8 text'),
        (b"{oops", "json", 'key "k" does not hold JSON: Expecting property name'),
        (b"NaN", "json", 'key "k" does not hold JSON: NaN is not JSON'),
        ([b"a"], "text", "the key holds something that is not text: a list, set, hash or stream"),
    ],
)
def test_a_key_that_holds_something_else_is_refused(
    run: Any, url: str, redis: services.Server, stored: Any, parse: str, message: str
) -> None:
    """Bytes, broken JSON and other types are named."""
    if isinstance(stored, list):
        client(redis).rpush("k", *stored)
    else:
        client(redis).set("k", stored)
    with pytest.raises(StepRefused) as refusal:
        run("redis_get", {"connection": url, "key": "k", "parse": parse})
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((services.ENCODED_PASSWORD, "wr0ng-password"), r"^Redis at 127\.0\.0\.1:\d+ refuses the login: "),
        ((f":{services.ENCODED_PASSWORD}@", ""), r"^Redis at 127\.0\.0\.1:\d+ (refuses the login|wants a password)"),
        (("redis://", "http://"), r'^"http" is no connection to Redis; a URL starts with redis://'),
        (("/0", "/zero"), r"^a database of Redis is a number"),
    ],
)
def test_connections_that_cannot_work_are_refused(run: Any, url: str, change: tuple[str, str], message: str) -> None:
    """The fault is named; the password is not."""
    with pytest.raises(StepRefused, match=message) as refusal:
        run("redis_get", {"connection": url.replace(*change), "key": "k"})
    assert "wr0ng" not in str(refusal.value)
    assert services.PASSWORD not in str(refusal.value)


@pytest.mark.parametrize(
    "given", [{"key": ""}, {"ttl": 0}, {"ttl": -1}, {"ttl": 1e30}, {"only_if": "maybe"}, {"value": None, "key": None}]
)
def test_parameters_that_cannot_be(run: Any, given: dict[str, Any]) -> None:
    """An empty key, a ttl of no time, and an unknown condition are invalid."""
    with pytest.raises(ValidationError):
        run("redis_set", {"connection": "redis://localhost", "key": "k", "value": "v", **given})


def test_a_forbidden_host_is_not_spoken_to(run: Any, url: str, context: Any) -> None:
    """The host policy is asked first."""
    context.refused_hosts = {"127.0.0.1"}
    with pytest.raises(StepRefused, match=r'^host "127\.0\.0\.1" is not allowed$'):
        run("redis_get", {"connection": url, "key": "k"})


def test_a_server_that_is_stopped_is_a_fault_that_a_retry_may_mend(run: Any, context: Any) -> None:
    """It fails while the server is down, and works when it is back."""
    context.connections = LocalConnections({})
    with services.redis({"loglevel": "warning"}) as server:
        assert server.process is not None
        assert server.restart is not None
        given = {"connection": server.url, "key": "k", "value": "v"}
        services.stop(server.process)
        with pytest.raises(StepError, match=r"^Redis at 127\.0\.0\.1:\d+ cannot be reached: .*refused") as fault:
            run("redis_set", given)
        assert not isinstance(fault.value, StepRefused)
        server.process = server.restart()
        assert run("redis_set", given)["set"] is True


def test_a_server_that_hangs_ends_with_the_step(attempt: Any, redis: services.Server) -> None:
    """The step stops when its time is over, though the server never answers."""
    client(redis).execute_command("CLIENT", "PAUSE", "2000", "ALL")
    result = attempt("redis_get", {"connection": redis.url, "key": "k"}, timeout=0.5)
    assert result.status is StepStatus.FAILED
    assert result.error == "timed out after 0.5 s" or "does not answer" in result.error
    client(redis).execute_command("CLIENT", "UNPAUSE")


def test_a_full_server_refuses_the_write(run: Any, url: str, redis: services.Server) -> None:
    """What it says comes back, and the key is not there."""
    client(redis).config_set("maxmemory", "1")
    try:
        with pytest.raises(StepError, match=r"^Redis at 127\.0\.0\.1:\d+: .*maxmemory"):
            run("redis_set", {"connection": url, "key": "k", "value": "v"})
    finally:
        client(redis).config_set("maxmemory", "0")
    assert client(redis).exists("k") == 0


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[services.Server, Path]]:
    """A server that speaks TLS only, and the file with the authority that its certificate is of."""
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    authority, certificate = trustme.CA(), None
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    port = services.free_port()
    settings = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": folder / "cert.pem",
        "tls-key-file": folder / "key.pem",
        "tls-ca-cert-file": folder / "ca.pem",
        "tls-auth-clients": "no",
    }
    with services.redis(settings, port=port) as server:
        yield server, folder / "ca.pem"


def test_tls_is_spoken_and_the_certificate_checked(run: Any, context: Any, tls: tuple[services.Server, Path]) -> None:
    """rediss:// works with the right authority, and is refused without it."""
    context.connections = LocalConnections({})
    server, authority = tls
    url = server.url.replace("redis://", "rediss://")
    trusted = f"{url}?ssl_ca_certs={authority}"
    assert run("redis_set", {"connection": trusted, "key": "k", "value": "v"})["set"] is True
    assert run("redis_get", {"connection": trusted, "key": "k"})["value"] == "v"
    with pytest.raises(StepError, match="certificate verify failed"):
        run("redis_get", {"connection": url, "key": "k"})
