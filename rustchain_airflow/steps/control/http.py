"""Send an HTTP request."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field

from rustchain_airflow.steps.control.scalars import Text
from rustchain_airflow.steps.sdk import (
    Alias,
    ConnectionReference,
    Options,
    Output,
    Parameters,
    ReadPath,
    Secret,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    require,
    step,
)

if TYPE_CHECKING:
    import httpx2

_DEFAULT_MAX_RESPONSE_BYTES = 10 * 1024 * 1024
_MAX_REDIRECTS = 20
_CHUNK = 64 * 1024
_SHORTEST_SECRET = 8
_SCHEMES = ("http", "https")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key|signature", re.IGNORECASE)
_COOKIE_VALUE = re.compile(r"^([^=;]*)=[^;]*")
_TEXT_TYPE = re.compile(r"text/|application/(?:.*\+)?(?:json|xml|javascript|yaml|x-yaml|x-www-form-urlencoded)\b")
_JSON_TYPE = re.compile(r"(?:application|text)/(?:.*\+)?json\b")
_CHARSET = re.compile(r"charset=[\"']?([^\"';\s]+)", re.IGNORECASE)

_CLIENT_SETTINGS = frozenset(
    {"allow_redirects", "auth_type", "cert", "check_response", "max_redirects", "proxies", "proxy", "stream"}
    | {"timeout", "trust_env", "verify"}
)
"""Keys of an Airflow HTTP connection's extra that are about its client; the others are headers."""


def _as_patterns(value: Any) -> Any:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [
        str(item).lower() if isinstance(item, (int, str)) and not isinstance(item, bool) else item for item in items
    ]


_Written = int | str | list[int | str]
Status = Annotated[str, Field(pattern=r"^[1-5](?:[0-9][0-9]|xx)$")]
Values = dict[str, Text | list[Text] | None]


class BasicAuth(Options):
    username: Text = Field(description="Login name.")
    password: Annotated[Text, *Secret.__metadata__] = Field("", description="Password.")


class Auth(Options):
    exactly_one = (("basic", "bearer"),)

    basic: BasicAuth | None = Field(None, description="User name and password.")
    bearer: Annotated[Secret | None, Alias("token")] = Field(None, description="Token, sent as a bearer token.")


class HttpParameters(Parameters):
    at_most_one: ClassVar[tuple[tuple[str, ...], ...]] = (("body", "json_body", "body_file", "form"),)

    url: str = Field(
        "", description="Address, http or https; a path below the connection's address where one is given."
    )
    method: str = Field("GET", pattern=f"^{_TOKEN.pattern}$", description="GET, POST, PUT, PATCH, DELETE, HEAD …")
    headers: dict[str, Text] = Field(default_factory=dict, description="Request headers.")
    params: Annotated[Values | str, Alias("query")] = Field(
        default_factory=dict, description="Query parameters to add to the url; a list repeats its name."
    )
    body: Any = Field(None, description="Request body: text is sent as it is, anything else as JSON.")
    json_body: Annotated[Any, Alias("json")] = Field(None, description="Request body, sent as JSON; text too.")
    body_file: ReadPath | None = Field(None, description="File to stream as the request body.")
    form: Values | None = Field(None, description="Form fields, sent URL-encoded; a list repeats its name.")
    auth: Auth | None = Field(None, description="How to log in: {basic: {username, password}} or {bearer: token}.")
    connection: Annotated[ConnectionReference | None, Alias("conn_id")] = Field(
        None, description="Connection with the address and the login; credentials go nowhere but to its host."
    )
    expected_status: Annotated[
        list[Status],
        BeforeValidator(_as_patterns, json_schema_input_type=_Written),
        Alias("expect_status"),
    ] = Field(default=["2xx"], min_length=1, description='Status codes that mean success: 200, [200, 404], "2xx".')
    timeout: Annotated[float, Alias("timeout_seconds")] = Field(30, gt=0, description="Seconds for the whole exchange.")
    follow_redirects: bool = Field(True, description="Follow up to 20 redirects; each host is checked by the policy.")
    max_response_bytes: int | None = Field(
        None, ge=0, description="Largest response; beyond it the step fails. Default 10 MiB; none with output_file."
    )
    output_file: WritePath | None = Field(None, description="File the response is written to, whole or not at all.")
    verify_tls: bool = Field(True, description="Check the server's certificate and name.")
    on_error: Literal["continue", "fail"] | None = Field(
        None, description='"continue" is the same as continue_on_error: true on the step.'
    )


class HttpOutput(Output):
    main = "response"

    url: str = Field(description="Where the response came from, redirects followed, credentials removed.")
    method: str = Field(description="The method asked for.")
    status: int = Field(description="Status code.")
    headers: dict[str, str] = Field(description="Response headers by lower-case name; cookie values are masked.")
    response: Any = Field(None, description="The body: a JSON value when it is JSON, else text; null in output_file.")
    size: int = Field(description="Bytes of the body, decompressed.")
    output_file: str | None = Field(None, description="The file the body was written to.")
    duration_ms: int = Field(description="Time of the whole exchange, in milliseconds.")


@cache
def _authorities(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """The certificate authorities the environment trusts; loading them costs more than a request."""
    return cast("ssl.SSLContext", require("httpx2", "network").create_ssl_context())


def _trusted() -> ssl.SSLContext:
    return _authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _nobody() -> ssl.SSLContext:
    """Trusts no authority at all: for a client that is made for http and must not speak https by mistake."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _prepare() -> None:
    require("httpcore2", "network")  # httpx2 puts it off to the first request
    _trusted()
    _nobody()


@step(prepare=_prepare)
def http(parameters: HttpParameters, context: StepContext) -> HttpOutput:
    """Send an HTTP request and give back the response.

    A status outside ``expected_status`` fails the step; status, headers and response are in its output all
    the same. A response that is not text needs an ``output_file``. The proxies of the environment
    (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and its certificate authorities (SSL_CERT_FILE) are honoured.

    Credentials come from ``auth``, from the ``connection``, or from the url; they are masked everywhere,
    and a redirect to another host does not take them along. A connection has Airflow's meaning: host (or
    schema, host and port) is the address, login and password are basic authentication, and what is in its
    extra are headers.
    """
    library: Any = require("httpx2", "network")
    return _Exchange(library, parameters, context).run()


class _Exchange:
    """One request, its redirects and its response."""

    def __init__(self, library: Any, parameters: HttpParameters, context: StepContext) -> None:
        self._library = library
        self._parameters = parameters
        self._context = context
        self._method = parameters.method.upper()
        self._seconds = min(parameters.timeout, context.remaining())
        self._began = time.monotonic()
        self._place = parameters.url
        """Where the exchange has got to, as messages name it."""
        self._only_for_first_origin: set[str] = set()
        """Headers that a redirect to another origin does not take along."""

    def run(self) -> HttpOutput:
        library = self._library
        try:
            with ExitStack() as stack:
                return self._receive(self._send(stack))
        except (library.InvalidURL, library.LocalProtocolError, UnicodeError) as error:
            raise StepRefused(f"not a valid request: {error}") from error
        except library.TimeoutException as error:
            raise self._timed_out() from error
        except (library.TransportError, library.DecodingError) as error:
            raise StepError(f"{self._method} {self._place}: {_fault(error)}") from error

    # --- the request ------------------------------------------------------------------------------

    def _send(self, stack: ExitStack) -> httpx2.Response:
        """The response to the last request of the exchange, its body not read yet."""
        clients: dict[bool, httpx2.Client] = {}
        cookies = CookieJar()
        request = self._request()
        for _ in range(1 + _MAX_REDIRECTS):
            url = request.url
            self._place = str(url.copy_with(query=None, fragment=None))
            if url.scheme not in _SCHEMES or not url.host:
                raise StepRefused(f"{self._place}: an address starts with http:// or https:// and a host")
            self._context.check_host(url.host)
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), self._left())
            secure = url.scheme == "https"
            if secure not in clients:
                verify = _nobody() if not secure else _trusted() if self._parameters.verify_tls else False
                clients[secure] = stack.enter_context(self._library.Client(verify=verify, cookies=cookies))
            response = clients[secure].send(request, stream=True, auth=None, follow_redirects=False)
            stack.callback(response.close)
            if not (self._parameters.follow_redirects and response.has_redirect_location):
                return response
            if response.next_request is None:
                raise StepError(f"{self._method} {self._place}: redirects to an address that is not valid")
            request = self._redirected(response.next_request, url)
            response.close()
        raise StepError(f"{self._method} {self._place}: more than {_MAX_REDIRECTS} redirects")

    def _redirected(self, request: httpx2.Request, before: httpx2.URL) -> httpx2.Request:
        """The next request of a redirect, without what only the first origin may know."""
        upgraded = (before.scheme, request.url.scheme) == ("http", "https") and before.host == request.url.host
        if (before.scheme, before.netloc) != (request.url.scheme, request.url.netloc) and not upgraded:
            for name in self._only_for_first_origin:
                request.headers.pop(name, None)
        request.url = request.url.copy_with(userinfo=b"")
        return request

    def _request(self) -> httpx2.Request:
        login = self._login()
        url = self._url(login.base_url)
        headers = {"accept-encoding": "gzip, deflate", "user-agent": "rustchain-airflow", **login.headers}
        content, content_type, length = self._body()
        if content_type:
            headers["content-type"] = content_type
        if length is not None:
            headers["content-length"] = str(length)
        if authorization := self._authorization(url) or login.authorization:
            headers["authorization"] = authorization
        headers.update((name.lower(), value) for name, value in self._parameters.headers.items())
        secret = {name for name in headers if _SECRET_HEADER.search(name)}
        self._only_for_first_origin = secret | login.headers.keys()
        for name in secret:
            for word in headers[name].split():
                if len(word) >= _SHORTEST_SECRET:
                    self._context.mask(word)
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise StepRefused(f'header "{name}" holds characters that a header cannot')
        return cast(
            "httpx2.Request",
            self._library.Request(
                self._method,
                url.copy_with(userinfo=b"", fragment=None),
                headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()],
                content=content,
            ),
        )

    def _url(self, base_url: str) -> httpx2.URL:
        written = self._parameters.url.strip()
        if base_url:
            base = self._library.URL(base_url)
            if "://" not in written:
                written = f"{base_url.rstrip('/')}/{written.lstrip('/')}" if written else base_url
            elif (base.scheme, base.netloc) != ((url := self._library.URL(written)).scheme, url.netloc):
                raise StepRefused(f"the url leads to {url.host}, and the connection to {base.host}")
        elif not written:
            raise StepRefused("give a url, or a connection that has one")
        params = self._parameters.params
        query = params if isinstance(params, str) else urlencode(_pairs(params))
        written = written.partition("#")[0]
        if query:
            written += ("&" if "?" in written else "?") + query.lstrip("?&")
        return cast("httpx2.URL", self._library.URL(written))

    def _body(self) -> tuple[bytes | Iterable[bytes], str | None, int | None]:
        """The content, its type where it has one, and its length where it has to be said."""
        parameters = self._parameters
        if parameters.body_file is not None:
            entry = self._context.workspace.entry(parameters.body_file)
            if entry is None or entry.is_dir:
                raise StepError(f'body_file "{parameters.body_file}" is not a file')
            return _FileBody(self._context, parameters.body_file), "application/octet-stream", entry.size
        if parameters.form is not None:
            return urlencode(_pairs(parameters.form)).encode(), "application/x-www-form-urlencoded", None
        if isinstance(parameters.body, str):
            return parameters.body.encode("utf-8"), None, None
        value = parameters.body if parameters.json_body is None else parameters.json_body
        if value is None:
            return b"", None, None
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), "application/json", None

    def _authorization(self, url: httpx2.URL) -> str | None:
        auth = self._parameters.auth
        if auth is not None and auth.bearer is not None:
            return f"Bearer {auth.bearer}"
        if auth is not None and auth.basic is not None:
            return self._basic(auth.basic.username, auth.basic.password)
        if url.userinfo:
            return self._basic(url.username, url.password)
        return None

    def _basic(self, username: str, password: str) -> str:
        if password:
            self._context.mask(password)
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")

    def _login(self) -> _Login:
        """What the connection says, read as Airflow's HTTP hook reads it; or a URL, read as one."""
        if self._parameters.connection is None:
            return _Login()
        connection = self._context.connections.resolve(self._parameters.connection)
        host, path = connection.host or "", ""
        scheme = connection.kind if connection.kind in _SCHEMES else "http"
        if connection.database in _SCHEMES:
            scheme = connection.database
        elif connection.database:
            path = "/" + connection.database.lstrip("/")
        if "://" not in host:
            host = f"{scheme}://{f'[{host}]' if ':' in host else host}"
        if connection.port:
            host += f":{connection.port}"
        extra = dict(connection.extra or {})
        given = extra.pop("headers", {})
        headers = {**extra, **(given if isinstance(given, Mapping) else {})}
        return _Login(
            base_url=host + path if connection.host else "",
            authorization=self._basic(connection.login, connection.password or "") if connection.login else None,
            headers={
                name.lower(): str(value)
                for name, value in headers.items()
                if name not in _CLIENT_SETTINGS and isinstance(value, (str, int, float))
            },
        )

    # --- the response -----------------------------------------------------------------------------

    def _receive(self, response: httpx2.Response) -> HttpOutput:
        parameters = self._parameters
        expected = any(_matches(response.status_code, pattern) for pattern in parameters.expected_status)
        limit = parameters.max_response_bytes
        if expected and parameters.output_file is not None:
            size = 0
            with self._context.workspace.write(parameters.output_file) as file:
                for chunk in self._chunks(response, limit):
                    size += len(chunk)
                    file.write(chunk)
            return self._output(response, size=size, output_file=parameters.output_file)
        body = bytearray()
        for chunk in self._chunks(response, _DEFAULT_MAX_RESPONSE_BYTES if limit is None else limit):
            body += chunk
        content = bytes(body)
        try:
            value = _value(content, response.headers.get("content-type", ""))
        except _NotText:
            value = None
            if expected:
                raise StepRefused(
                    f"the response is {response.headers.get('content-type', 'binary')}, not text: give an output_file",
                    output=self._output(response, size=len(content)),
                ) from None
        output = self._output(response, size=len(content), response_value=value)
        if not expected:
            raise StepError(f"{self._method} {self._place}: {_status(response)}", output=output)
        return output

    def _chunks(self, response: httpx2.Response, limit: int | None) -> Iterator[bytes]:
        """The body in pieces, decompressed; StepRefused beyond the limit."""
        size = 0
        for chunk in response.iter_bytes():  # as they come: gathering them could outlast the time there is
            size += len(chunk)
            if limit is not None and size > limit:
                raise StepRefused(
                    f"the response is larger than {limit} bytes: raise max_response_bytes, or give an output_file",
                    output=self._output(response, size=size),
                )
            self._left()
            yield chunk

    def _output(
        self, response: httpx2.Response, *, size: int, response_value: Any = None, output_file: str | None = None
    ) -> HttpOutput:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if cookies := response.headers.get_list("set-cookie"):
            headers["set-cookie"] = ", ".join(_COOKIE_VALUE.sub(r"\1=***", cookie) for cookie in cookies)
        return HttpOutput(
            url=str(response.request.url),
            method=self._method,
            status=response.status_code,
            headers=headers,
            response=response_value,
            size=size,
            output_file=output_file and self._context.workspace.relative(output_file),
            duration_ms=round((time.monotonic() - self._began) * 1000),
        )

    def _left(self) -> float:
        """Seconds left of the exchange. Raises StepError when there are none."""
        left = self._seconds - (time.monotonic() - self._began)
        if left <= 0:
            raise self._timed_out()
        return left

    def _timed_out(self) -> StepError:
        return StepError(f"{self._method} {self._place}: timed out after {self._seconds:g} s")


@dataclass(frozen=True, slots=True)
class _Login:
    """What a connection adds to a request."""

    base_url: str = ""
    authorization: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _FileBody:
    """A file as a request body; a redirect may have it sent again."""

    def __init__(self, context: StepContext, path: str) -> None:
        self._context = context
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._context.workspace.open(self._path) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


class _NotText(Exception):
    """A response body that no JSON output can hold."""


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, item)
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]


def _matches(status: int, pattern: str) -> bool:
    return str(status).startswith(pattern.rstrip("x")) if pattern.endswith("xx") else str(status) == pattern


def _status(response: httpx2.Response) -> str:
    return f"status {response.status_code} {response.reason_phrase}".rstrip()


def _value(body: bytes, content_type: str) -> Any:
    """A JSON value for JSON, else text. Raises _NotText."""
    if _JSON_TYPE.match(content_type.lower()):
        try:
            return json.loads(body, parse_constant=_not_json)
        except (ValueError, RecursionError):
            pass
    if charset := _CHARSET.search(content_type):
        try:
            return body.decode(charset[1], "replace")
        except LookupError:  # a charset nobody knows: as if it had not been said
            pass
    if not content_type or _TEXT_TYPE.match(content_type.lower()):
        return body.decode("utf-8", "replace")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotText from None
    if "\0" in text:
        raise _NotText
    return text


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _fault(error: BaseException) -> str:
    """What went wrong on the way, in a few words, from the error that was first."""
    link: BaseException | None = error
    while link is not None:
        match link:
            case ssl.SSLCertVerificationError():
                return f"the server's certificate is not trusted: {link.verify_message}"
            case ssl.SSLError():
                return f"TLS failed: {(link.reason or str(link)).replace('_', ' ').lower()}"
            case socket.gaierror():
                return "the host name cannot be resolved"
            case ConnectionRefusedError():
                return "connection refused"
            case ConnectionResetError() | BrokenPipeError():
                return "the server closed the connection"
        link = link.__cause__ or link.__context__
    return " ".join(str(error).split()) or type(error).__name__
