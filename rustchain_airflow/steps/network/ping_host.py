"""The step type ping_host."""

from __future__ import annotations

import errno
import math
import re
import shutil
import socket
import time
from typing import ClassVar, Literal

from pydantic import Field

from rustchain_airflow.steps.sdk import Output, Parameters, StepContext, StepError, StepRefused, step

_DEFAULT_TCP_PORT = 80
_TCP_INTERVAL_SECONDS = 0.2
_HOST_NAME = re.compile(r"(?!-)[\w.:%-]{1,253}")

_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) (?:packets )?received")
_TIMES = re.compile(r"min/avg/max(?:/mdev)? = ([\d.]+)/([\d.]+)/([\d.]+)")


class PingHostParameters(Parameters):
    """Whom to ask, how often, and by what."""

    host: str = Field(description="A name or an address.")
    count: int = Field(4, ge=1, le=1000, description="How many times to ask.")
    timeout: float = Field(5.0, gt=0, le=3600, description="Seconds to wait for each answer.")
    port: int | None = Field(None, ge=1, le=65535, description="For TCP; default 80.")
    method: Literal["auto", "icmp", "tcp"] = Field(
        "auto", description="auto: ICMP where this machine permits it, else TCP."
    )


class PingHostOutput(Output):
    """What came back."""

    main: ClassVar[str | None] = "reachable"

    reachable: bool = Field(description="Whether there was at least one answer.")
    sent: int
    received: int
    loss_percent: float
    min_ms: float | None
    avg_ms: float | None
    max_ms: float | None
    method: str = Field(description="icmp or tcp: what was used.")


@step(idempotent=True)
def ping_host(parameters: PingHostParameters, context: StepContext) -> PingHostOutput:
    """Ask whether a host answers, and how fast.

    ICMP goes through the system's `ping`, which may do what this process may not. Where there is no
    `ping`, or it is not permitted, `auto` asks by TCP: an answer is a connection that is accepted or
    refused, for both come from the host. (Whether a service is up is the question of service_health.)

    A host that never answers, or whose name cannot be resolved, fails the step; the counts are kept in
    its output.
    """
    host = parameters.host.strip().strip("[]")
    if not _HOST_NAME.fullmatch(host):
        raise StepRefused(f'"{parameters.host}" is not the name or the address of a host')
    context.check_host(host)
    address = _resolve(host)
    output = None
    if parameters.method != "tcp":
        try:
            output = _icmp(parameters, context, address)
        except _NotPermitted as error:
            if parameters.method == "icmp":
                raise StepRefused(f"ICMP is not possible here: {error}; use method: tcp") from error
            context.logger.info("ICMP is not possible here (%s); asking by TCP", error)
    if output is None:
        output = _tcp(parameters, context, address)
    if not output.reachable:
        raise StepError(f"{host} did not answer ({output.method}, asked {output.sent} times)", output=output)
    return output


class _NotPermitted(Exception):
    """This machine has no ping, or does not let it work."""


def _resolve(host: str) -> str:
    """One address of a host; what was checked and resolved once is what is asked."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise StepError(f'"{host}" cannot be resolved to an address: {error}') from error
    return str(found[0][4][0])


def _icmp(parameters: PingHostParameters, context: StepContext, address: str) -> PingHostOutput:
    program = shutil.which("ping", path=context.environment.get("PATH"))
    if program is None:
        raise _NotPermitted("ping is not installed (Debian package iputils-ping)")
    wait = math.ceil(parameters.timeout)
    whole = math.ceil(min(parameters.count + parameters.timeout, context.remaining()))
    # option by option what iputils and busybox have in common
    command = [program, "-n", "-q", "-c", str(parameters.count), "-W", str(wait), "-w", str(max(1, whole)), address]
    result = context.processes.run(command, environment={"LC_ALL": "C"})
    counts = _COUNTS.search(result.stdout)
    if counts is None:
        said = (result.stderr or result.stdout).strip().splitlines()
        raise _NotPermitted(said[-1] if said else f"ping ended with exit code {result.exit_code}")
    times = _TIMES.search(result.stdout)
    low, average, high = (float(value) for value in times.groups()) if times else (None, None, None)
    sent, received = int(counts[1]), int(counts[2])
    return PingHostOutput(
        reachable=received > 0,
        sent=sent,
        received=received,
        loss_percent=_loss(sent, received),
        min_ms=low,
        avg_ms=average,
        max_ms=high,
        method="icmp",
    )


def _loss(sent: int, received: int) -> float:
    return round(100 * (1 - min(received, sent) / sent), 1) if sent else 100.0


def _tcp(parameters: PingHostParameters, context: StepContext, address: str) -> PingHostOutput:
    port = parameters.port or _DEFAULT_TCP_PORT
    times = []
    sent = 0
    for number in range(parameters.count):
        if number:
            time.sleep(_TCP_INTERVAL_SECONDS)
        sent += 1
        if (taken := _connect(address, port, min(parameters.timeout, context.remaining()))) is not None:
            times.append(taken)
    return PingHostOutput(
        reachable=bool(times),
        sent=sent,
        received=len(times),
        loss_percent=_loss(sent, len(times)),
        min_ms=round(min(times), 3) if times else None,
        avg_ms=round(sum(times) / len(times), 3) if times else None,
        max_ms=round(max(times), 3) if times else None,
        method="tcp",
    )


def _connect(address: str, port: int, seconds: float) -> float | None:
    """Milliseconds until the host accepted or refused; None where it said nothing."""
    started = time.perf_counter()
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except OSError as error:
        if error.errno != errno.ECONNREFUSED:
            return None
    return (time.perf_counter() - started) * 1000
