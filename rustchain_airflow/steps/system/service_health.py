"""Check that a service answers."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    StepContext,
    StepError,
    StepRefused,
    require,
    step,
)
from rustchain_airflow.steps.system.registry import Registry, living

_MAX_BODY_BYTES = 1024 * 1024
_MAX_REDIRECTS = 10
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _as_patterns(value: Any) -> Any:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [
        str(item).lower() if isinstance(item, (int, str)) and not isinstance(item, bool) else item for item in items
    ]


_Written = int | str | list[int | str]
Status = Annotated[str, Field(pattern=r"^[1-5](?:[0-9][0-9]|xx)$")]


class ServiceHealthParameters(Parameters):
    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("url", "host", "process"),)

    url: str | None = Field(None, pattern=r"(?i)^https?://", description="Address that has to answer.")
    host: Annotated[str | None, Alias("service")] = Field(
        None, min_length=1, description="Host that has to take connections on port; host:port is fine."
    )
    port: int | None = Field(None, ge=1, le=65535, description="Port of the host.")
    process: Annotated[str | None, Alias("process_name")] = Field(
        None, min_length=1, description="Name of a process that has to run: as process_start named it, or the program."
    )
    expected_status: Annotated[
        list[Status],
        BeforeValidator(_as_patterns, json_schema_input_type=_Written),
        Alias("expect_status"),
    ] = Field(default=["2xx"], min_length=1, description='Status codes that mean healthy: 200, [200, 404], "2xx".')
    expected_text: str | None = Field(None, min_length=1, description="Text the answer has to hold, in its first MiB.")
    attempts: int = Field(1, ge=1, le=10_000, description="How often to look before giving up.")
    interval_ms: int = Field(1000, ge=0, description="Milliseconds between two looks.")
    timeout: Annotated[float, Alias("timeout_seconds")] = Field(5, gt=0, description="Seconds one look may take.")

    @model_validator(mode="after")
    def _port_of_host(self) -> ServiceHealthParameters:
        if self.host is not None and self.port is None and _with_port(self.host) is None:
            raise PydanticCustomError("presence", "give port: the host alone does not say what to connect to")
        if self.host is None and self.port is not None:
            raise PydanticCustomError("presence", "port goes with host, not with url or process")
        if self.url is None and (self.expected_text is not None or self.expected_status != ["2xx"]):
            raise PydanticCustomError("presence", "expected_status and expected_text go with url")
        return self


class ServiceHealthOutput(Output):
    main: ClassVar[str | None] = "healthy"

    service: str = Field(description="What was looked at: the url without credentials, host:port, or the process.")
    healthy: bool
    latency_ms: float | None = Field(description="Time of the last look; null when there was no answer.")
    status: int | None = Field(description="The last HTTP status; null where there is none.")
    attempts: int = Field(description="How often it was looked at.")
    detail: str = Field(description="What was seen last.")


@dataclass(frozen=True, slots=True)
class _Look:
    healthy: bool
    detail: str
    latency_ms: float | None = None
    status: int | None = None


@step(idempotent=True)
def service_health(parameters: ServiceHealthParameters, context: StepContext) -> ServiceHealthOutput:
    """Check that a service answers: an HTTP address, a port that takes connections, or a process that runs.

    Looks up to ``attempts`` times, until it is healthy; a service that is not fails the step, with what was seen in
    its output. Redirects are followed, and every host on the way is judged by the policy. A certificate that cannot
    be trusted is not healthy.
    """
    service, look = _subject(parameters, context)
    seen = _Look(False, "not looked at")
    for attempt in range(1, parameters.attempts + 1):
        if attempt > 1:
            time.sleep(parameters.interval_ms / 1000)
        seen = look()
        if seen.healthy:
            break
    output = ServiceHealthOutput(
        service=service,
        healthy=seen.healthy,
        latency_ms=seen.latency_ms,
        status=seen.status,
        attempts=attempt,
        detail=seen.detail,
    )
    if not seen.healthy:
        raise StepError(f"{service} is not healthy: {seen.detail}", output=output)
    return output


def _subject(parameters: ServiceHealthParameters, context: StepContext) -> tuple[str, Any]:
    if parameters.url is not None:
        return _shown(parameters.url, context), lambda: _look_at_url(parameters, context)
    if parameters.host is not None:
        host, port = _with_port(parameters.host) or (parameters.host, 0)
        if parameters.port is not None:
            host, port = parameters.host.strip("[]"), parameters.port
        context.check_host(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", lambda: _look_at_port(
            host, port, parameters.timeout
        )
    name = parameters.process
    assert name is not None
    return name, lambda: _look_at_process(name, context)


def _with_port(text: str) -> tuple[str, int] | None:
    """The two halves of ``host:port``, an IPv6 address in brackets; None for a host alone."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})", text)
    if not found or not 1 <= int(found["port"]) <= 65535:
        return None
    return found["six"] or found["host"], int(found["port"])


def _shown(url: str, context: StepContext) -> str:
    """A URL without its user name and password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise StepRefused(f"the url cannot be read: {error}") from error
    if not parts.hostname:
        raise StepRefused("the url has no host")
    if parts.password:
        context.mask(unquote(parts.password))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _look_at_url(parameters: ServiceHealthParameters, context: StepContext) -> _Look:
    httpx2 = require("httpx2", "network")
    assert parameters.url is not None

    def admit(request: Any) -> None:
        if request.url.scheme not in _DEFAULT_PORTS:
            raise StepRefused(f"the url leads to {request.url.scheme}:, which is not http")
        context.check_host(request.url.host)

    client = httpx2.Client(
        timeout=parameters.timeout,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        trust_env=False,
        event_hooks={"request": [admit]},
    )
    started = time.monotonic()
    deadline = started + parameters.timeout
    try:
        with client, client.stream("GET", parameters.url) as response:
            latency = _milliseconds(started)
            status = int(response.status_code)
            if not any(_matches(status, pattern) for pattern in parameters.expected_status):
                expected = " or ".join(parameters.expected_status)
                return _Look(False, f"status {status}, expected {expected}", latency, status)
            if parameters.expected_text is not None:
                body = _beginning(response, deadline)
                if parameters.expected_text not in body:
                    return _Look(False, f'status {status}, but no "{parameters.expected_text}" in it', latency, status)
            return _Look(True, f"status {status}", latency, status)
    except (httpx2.TimeoutException, TimeoutError):
        return _Look(False, f"no answer within {parameters.timeout:g} s")
    except httpx2.InvalidURL as error:
        raise StepRefused(f"the url cannot be read: {error}") from error
    except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
        return _Look(False, _one_line(error))


def _beginning(response: Any, deadline: float) -> str:
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) >= _MAX_BODY_BYTES:
            break
        if time.monotonic() > deadline:
            raise TimeoutError
    return content[:_MAX_BODY_BYTES].decode(response.encoding or "utf-8", "replace")


def _matches(status: int, pattern: str) -> bool:
    return str(status) == pattern or pattern == f"{status // 100}xx"


def _look_at_port(host: str, port: int, timeout: float) -> _Look:
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return _Look(True, f"port {port} takes connections", _milliseconds(started))
    except TimeoutError:
        return _Look(False, f"no answer within {timeout:g} s")
    except (OSError, UnicodeError) as error:
        return _Look(False, _one_line(error))


def _look_at_process(name: str, context: StepContext) -> _Look:
    psutil = require("psutil", "system")
    started = time.monotonic()
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name):
        ours = Registry(context.workspace, context.run_id).find(name)
        if ours is not None:
            running = bool(living(ours, tree=False))
            said = f"pid {ours.pid} runs" if running else f"pid {ours.pid}, which the mission started, has ended"
            return _Look(running, said, _milliseconds(started))
    for process in psutil.process_iter(["name", "status", "exe", "cmdline"]):
        about = process.info
        if about["status"] in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            continue
        # the kernel cuts names after 15 letters, so the program's own words are asked as well
        words = [
            about["name"] or "",
            _last(about["exe"] or ""),
            *(_last(word) for word in (about["cmdline"] or [])[:1]),
        ]
        if name in words:
            return _Look(True, f"pid {process.pid} runs", _milliseconds(started))
    return _Look(False, "no such process runs", _milliseconds(started))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _milliseconds(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
