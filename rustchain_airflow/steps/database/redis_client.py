"""Redis: how a connection is opened, and what its errors say."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rustchain_airflow.steps.sdk import Connection, StepContext, StepError, StepRefused, require

_KINDS: Final = frozenset({"redis", "rediss", "valkey", "valkeys"})
_TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_LONGEST_WAITING_SECONDS: Final = 86_400.0
_LONGEST_CONNECTING_SECONDS: Final = 30.0


@contextmanager
def connect(reference: str, context: StepContext) -> Iterator[Any]:
    """A client of the server a connection means, closed at the end; one attempt, as the step has its own retries.

    Raises StepRefused for what no retry mends (a wrong password, a key that holds something else), StepError for
    all else, also inside the block. The password is never shown.
    """
    redis = require("redis", "database")
    connection = context.connections.resolve(reference)
    place, settings = _settings(connection, context)
    began = time.monotonic()
    client = redis.Redis(
        **settings,
        protocol=2,  # servers before 6.0 know no other
        socket_connect_timeout=min(context.remaining(), _LONGEST_CONNECTING_SECONDS),
        socket_timeout=min(context.remaining(), _LONGEST_WAITING_SECONDS),
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )
    try:
        client.ping()
        context.logger.info("connected to Redis at %s in %d ms", place, round((time.monotonic() - began) * 1000))
        yield client
    except (redis.exceptions.RedisError, OSError, UnicodeError) as error:
        raise _fault(redis, error, place) from error
    finally:
        client.close()


def _settings(connection: Connection, context: StepContext) -> tuple[str, dict[str, Any]]:
    """Where the server is, as messages name it, and what the client is given."""
    if connection.kind not in _KINDS:
        raise StepRefused(f'"{connection.kind}" is no connection to Redis; a URL starts with redis:// or rediss://')
    extra = dict(connection.extra or {})
    host, port = connection.host or "localhost", connection.port or 6379
    context.check_host(host)
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "db": _number_of_database(connection.database or extra.get("db")),
        "username": connection.login or None,
        "password": connection.password or None,
        "ssl": connection.kind in ("rediss", "valkeys") or _is_true(extra.get("ssl")),
    }
    if settings["ssl"]:
        settings |= {name: extra[name] for name in _TLS_OPTIONS if name in extra}
        if "ssl_check_hostname" in settings:
            settings["ssl_check_hostname"] = _is_true(settings["ssl_check_hostname"])
    return f"{host}:{port}", settings


def _number_of_database(written: Any) -> int:
    text = str(written if written is not None else 0)
    if not (text.isascii() and text.isdecimal()):
        raise StepRefused("a database of Redis is a number: redis://host:6379/0")
    return int(text)


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "on")


def _fault(redis: Any, error: Exception, place: str) -> StepError:
    message = " ".join(str(error).split())
    errors = redis.exceptions
    if isinstance(error, (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)):
        return StepRefused(f"Redis at {place} refuses the login: {message}")
    if isinstance(error, errors.TimeoutError):
        return StepError(f"Redis at {place} does not answer: {message}")
    if isinstance(error, (errors.ConnectionError, OSError)):
        return StepError(f"Redis at {place} cannot be reached: {message}")
    if "WRONGTYPE" in message:
        return StepRefused("the key holds something that is not text: a list, set, hash or stream")
    if message.startswith("NOAUTH"):
        return StepRefused(f"Redis at {place} wants a password")
    return StepError(f"Redis at {place}: {message}")


def seconds(milliseconds: int) -> float | None:
    """The time a key has left, from what PTTL says; None for a key that does not expire, or is not there."""
    return None if milliseconds < 0 else math.ceil(milliseconds / 10) / 100
