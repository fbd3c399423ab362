"""The step type websocket_connect."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field

from rustchain_airflow.steps.network.certificates import trust
from rustchain_airflow.steps.sdk import (
    Alias,
    Options,
    Output,
    Parameters,
    ReadPath,
    StepContext,
    StepError,
    StepRefused,
    require,
    step,
)

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_OPENING_SECONDS = 10.0
_CLOSING_SECONDS = 5.0
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class WebsocketExpectation(Options):
    """What has to arrive before the connection is closed."""

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("text", "regex", "count"),)

    text: str | None = Field(None, description="A message that holds this text.")
    regex: str | None = Field(None, description="A message in which this regular expression is found.")
    count: int | None = Field(None, ge=1, description="So many messages.")


class WebsocketConnectParameters(Parameters):
    """Where to connect, what to send, and what to wait for."""

    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = (("message", "messages"),)

    url: str = Field(description="ws:// or wss://, with user:password@ where the server asks for it.")
    message: Any = Field(None, description="Text, sent as it is; anything else is sent as JSON.")
    messages: list[Any] | None = Field(None, description="Several messages, sent in order.")
    expect: str | int | WebsocketExpectation | None = Field(
        None,
        description="Wait for a message with this text, for so many messages, or for {text}, {regex} or {count}.",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with the request that opens it.")
    receive_timeout: Annotated[float, Alias("timeout")] = Field(
        10.0, gt=0, description="Seconds for all that is expected to arrive."
    )
    max_bytes: int = Field(1024 * 1024, ge=1, description="Most that is received in all.")
    verify_tls: bool = Field(True, description="Whether a wss server has to show a certificate that is trusted.")
    ca_file: ReadPath | None = Field(None, description="Certificates (PEM) to trust instead of the system's.")


class WebsocketConnectOutput(Output):
    """What was said."""

    main: ClassVar[str | None] = "received"

    connected: bool
    sent: int = Field(description="How many messages were sent.")
    received: list[str] = Field(description="Messages in order; binary ones in base64.")
    close_code: int | None = Field(description="Why the connection ended: 1000 where all was well (RFC 6455).")
    duration_ms: int


@dataclass
class _Conversation:
    started: float = field(default_factory=time.monotonic)
    connected: bool = False
    sent: int = 0
    received: list[str] = field(default_factory=list)
    size: int = 0
    close_code: int | None = None

    def output(self) -> WebsocketConnectOutput:
        return WebsocketConnectOutput(
            connected=self.connected,
            sent=self.sent,
            received=self.received,
            close_code=self.close_code,
            duration_ms=round((time.monotonic() - self.started) * 1000),
        )


@step(prepare=lambda: require("websockets.sync.client", "network"))
def websocket_connect(parameters: WebsocketConnectParameters, context: StepContext) -> WebsocketConnectOutput:
    """Open a WebSocket, send messages, wait for what is expected, and close it.

    Without `expect` nothing is waited for: the messages are sent and the connection is closed. With it,
    messages are received until one of them holds the text or matches the regular expression, or there
    are as many as were asked for; where that does not happen within `receive_timeout`, or the server
    closes first, the step fails with what it had received in its output.

    Redirects and proxies are not followed. A server whose certificate is not trusted fails the step.
    """
    url = _url(parameters.url, context)
    expectation = _expectation(parameters.expect)
    headers = _headers(parameters.headers, context)
    outgoing = [parameters.message] if parameters.message is not None else parameters.messages or []
    conversation = _Conversation()
    with _opened(parameters, url, headers, context, conversation) as connection:
        for message in outgoing:
            connection.send(message if isinstance(message, str) else _json(message))
            conversation.sent += 1
        if expectation is not None:
            _receive(connection, expectation, parameters, context, conversation)
    return conversation.output()


def _url(text: str, context: StepContext) -> SplitResult:
    try:
        url = urlsplit(text)
        _port = url.port
    except ValueError as error:
        raise StepRefused(f"the url cannot be read: {error}") from None
    if url.scheme not in ("ws", "wss") or not url.hostname:
        raise StepRefused("the url must start with ws:// or wss:// and name a host")
    if url.fragment:
        raise StepRefused("the url of a WebSocket has no fragment (#…)")
    if url.password:
        context.mask(unquote(url.password))
    context.check_host(url.hostname)
    return url


def _expectation(expect: str | int | WebsocketExpectation | None) -> WebsocketExpectation | None:
    if isinstance(expect, str):
        return WebsocketExpectation(text=expect)
    if isinstance(expect, int):
        if expect < 1:
            raise StepRefused("expect: a number of messages is at least 1")
        return WebsocketExpectation(count=expect)
    if expect is not None and expect.regex is not None:
        try:
            re.compile(expect.regex)
        except re.error as error:
            raise StepRefused(f"expect: the regular expression is not valid: {error}") from error
    return expect


def _headers(headers: dict[str, str], context: StepContext) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or any(letter in value for letter in "\r\n\0"):
            raise StepRefused(f"header {name!r} cannot be sent: it holds characters that headers must not have")
        if _SECRET_HEADER.search(name):
            context.mask(value)
            context.mask(value.rpartition(" ")[2])
    return headers


def _json(message: Any) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def _opened(
    parameters: WebsocketConnectParameters,
    url: SplitResult,
    headers: dict[str, str],
    context: StepContext,
    conversation: _Conversation,
) -> Iterator[ClientConnection]:
    """An open connection, closed at the end; every fault of it as a StepError with the conversation so far."""
    client = require("websockets.sync.client", "network")
    faults = require("websockets.exceptions", "network")
    host, port = url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)
    place = f"{host}:{port}"
    seconds = min(_OPENING_SECONDS, context.remaining())
    connection: ClientConnection | None = None
    try:
        # a socket of our own: the client would follow redirects and proxies to hosts nobody has checked
        with socket.create_connection((host, port), timeout=seconds) as sock:
            connection = client.connect(
                url.geturl(),
                sock=sock,
                ssl=trust(context, parameters.ca_file, verify=parameters.verify_tls) if url.scheme == "wss" else None,
                additional_headers=headers,
                open_timeout=seconds,
                close_timeout=_CLOSING_SECONDS,
                max_size=parameters.max_bytes,
            )
            with connection:
                conversation.connected = True
                yield connection
        conversation.close_code = connection.protocol.close_code
    except faults.InvalidURI as error:
        raise StepRefused(f"the url cannot be read: {error}") from error
    except faults.InvalidStatus as error:
        raise _not_opened(place, error.response.status_code) from error
    except faults.ConnectionClosed as error:
        assert connection is not None
        conversation.close_code = connection.protocol.close_code
        raise StepError(_closed(place, error, parameters), output=conversation.output()) from error
    except faults.InvalidHandshake as error:
        raise StepError(f"{place} does not speak WebSocket: {error}") from error
    except ssl.SSLCertVerificationError as error:
        raise StepRefused(f"the certificate of {place} is not trusted: {error.verify_message}") from error
    except TimeoutError as error:
        raise StepError(f"{place} did not open a WebSocket within {seconds:g} s") from error
    except (OSError, EOFError) as error:
        raise StepError(f"no connection to {place}: {error}", output=conversation.output()) from error
    except ValueError as error:  # a redirect that it would follow, if the socket were its own
        if not isinstance(error.__cause__, faults.InvalidStatus):
            raise
        raise _not_opened(place, error.__cause__.response.status_code) from error


def _not_opened(place: str, status: int) -> StepError:
    kind = StepRefused if status in (401, 403) else StepError
    return kind(f"{place} answered with status {status} instead of opening a WebSocket")


def _closed(place: str, error: Any, parameters: WebsocketConnectParameters) -> str:
    if error.sent is not None and error.sent.code == 1009 and not error.rcvd_then_sent:
        return f"{place} sent a message of more than max_bytes ({parameters.max_bytes})"
    if error.rcvd is None:
        return f"the connection to {place} was cut off"
    reason = f": {error.rcvd.reason}" if error.rcvd.reason else ""
    return f"{place} closed the connection (code {error.rcvd.code}){reason}"


def _receive(
    connection: ClientConnection,
    expectation: WebsocketExpectation,
    parameters: WebsocketConnectParameters,
    context: StepContext,
    conversation: _Conversation,
) -> None:
    deadline = time.monotonic() + min(parameters.receive_timeout, context.remaining())
    while True:
        try:
            message = connection.recv(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise StepError(
                f"{_spoken(expectation)} did not arrive within {parameters.receive_timeout:g} s; "
                f"{len(conversation.received)} messages did",
                output=conversation.output(),
            ) from None
        conversation.size += len(message.encode()) if isinstance(message, str) else len(message)
        if conversation.size > parameters.max_bytes:
            raise StepError(
                f"the messages are more than max_bytes ({parameters.max_bytes})", output=conversation.output()
            )
        text = message if isinstance(message, str) else base64.b64encode(message).decode()
        conversation.received.append(text)
        if _met(expectation, text, len(conversation.received)):
            return


def _met(expectation: WebsocketExpectation, text: str, count: int) -> bool:
    if expectation.count is not None:
        return count >= expectation.count
    if expectation.text is not None:
        return expectation.text in text
    return re.search(expectation.regex or "", text) is not None


def _spoken(expectation: WebsocketExpectation) -> str:
    if expectation.count is not None:
        return f"{expectation.count} {'message' if expectation.count == 1 else 'messages'}"
    if expectation.text is not None:
        return f'a message with "{expectation.text}"'
    return f"a message that matches {expectation.regex}"
