"""FTP sessions: where to, as whom, with TLS or without, and what their faults mean."""

from __future__ import annotations

import ftplib
import hashlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from rustchain_airflow.steps.network.certificates import trust
from rustchain_airflow.steps.sdk import (
    ConnectionReference,
    Parameters,
    ReadPath,
    Secret,
    StepContext,
    StepError,
    StepRefused,
)

CHUNK = 256 * 1024
_NOT_LOGGED_IN = "530"


def _tls(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


class FtpParameters(Parameters):
    """A server, and how to talk to it."""

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("host", "connection"),)

    host: str | None = Field(None, description="Name or address of the server.")
    connection: ConnectionReference | None = Field(None, description="A connection id, or ftp://user:password@host.")
    port: int | None = Field(None, ge=1, le=65535, description="Default: the connection's, else 21.")
    username: str | None = Field(None, description="Default: the connection's, else anonymous.")
    password: Secret | None = Field(None, description="Default: the connection's.")
    tls: Annotated[Literal["auto"] | bool, BeforeValidator(_tls)] = Field(
        "auto", description="auto: TLS where the server offers it; true: nothing without TLS; false: none."
    )
    verify_tls: bool = Field(True, description="Whether the server has to show a certificate that is trusted.")
    ca_file: ReadPath | None = Field(None, description="Certificates (PEM) to trust instead of the system's.")
    passive: bool = Field(True, description="Whether the client opens the connections that data goes over.")
    timeout: float = Field(30.0, gt=0, description="Seconds without any progress before the transfer is given up.")


@dataclass
class FtpSession:
    """A session that is logged in, and the place it leads to."""

    client: ftplib.FTP
    place: str

    def size(self, path: str) -> int | None:
        """The size of a remote file; None where the server does not say."""
        try:
            self.client.voidcmd("TYPE I")
            return self.client.size(path)
        except ftplib.error_perm:
            return None


@contextmanager
def session(parameters: FtpParameters, context: StepContext) -> Iterator[FtpSession]:
    """A session, ended politely. What goes wrong in it becomes a StepError or a StepRefused of one line."""
    host, port, username, password = _who(parameters, context)
    context.check_host(host)
    place = f"{host}:{port}"
    client = _Client(host, trust(context, parameters.ca_file, verify=parameters.verify_tls))
    client.set_pasv(parameters.passive)
    seconds = min(parameters.timeout, context.remaining())
    try:
        try:
            client.connect(host, port, timeout=seconds)
            _secure(client, parameters, context, place)
            client.login(username, password)
            if client.is_secure:
                client.prot_p()
            yield FtpSession(client, place)
            with suppress(ftplib.Error, OSError, EOFError):
                client.quit()
        finally:
            client.close()
    except ssl.SSLCertVerificationError as error:
        raise StepRefused(
            f"the certificate of {place} is not trusted ({error.verify_message}); "
            "name its authority with ca_file, or trust it unseen with verify_tls: false"
        ) from error
    except ftplib.error_perm as error:
        if str(error).startswith(_NOT_LOGGED_IN):
            raise StepRefused(f'{place} did not let "{username}" log in: {_line(error)}') from error
        raise StepError(f"{place} refused: {_line(error)}") from error
    except ftplib.Error as error:
        raise StepError(f"{place} failed: {_line(error)}") from error
    except TimeoutError as error:
        raise StepError(f"{place} said nothing for {seconds:g} s") from error
    except EOFError as error:
        raise StepError(f"the connection to {place} was cut off") from error
    except OSError as error:
        raise StepError(f"the connection to {place} failed: {error.strerror or error}") from error


class _Client(ftplib.FTP_TLS):
    """Python's client, with plain FTP until it is told otherwise, and data connections with the same server only.

    The address a server names for passive data connections is not used (ftplib's own rule): data goes
    where the control connection goes.
    """

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.host = host

    @property
    def is_secure(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket)

    def login(self, user: str = "", passwd: str = "", acct: str = "", secure: bool = False) -> str:
        del secure  # the caller has decided already; FTP_TLS would insist
        return ftplib.FTP.login(self, user, passwd, acct)

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        try:
            assert self.sock is not None
            if connection.getpeername()[0] != self.sock.getpeername()[0]:
                raise StepError("somebody else than the server opened the data connection")
            if isinstance(self.sock, ssl.SSLSocket):
                # many servers insist that data connections resume the session of the control connection
                connection = self.context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session)
        except BaseException:
            connection.close()
            raise
        return connection, size


def _who(parameters: FtpParameters, context: StepContext) -> tuple[str, int, str, str]:
    connection = context.connections.resolve(parameters.connection) if parameters.connection is not None else None
    if connection is not None and connection.kind == "sftp":
        raise StepRefused("the connection is for SFTP, which is not FTP but runs over SSH")
    host = parameters.host or (connection.host if connection else None)
    if not host:
        raise StepRefused("the connection names no host")
    username = parameters.username or (connection.login if connection else None) or "anonymous"
    password = parameters.password or (connection.password if connection else None) or ""
    port = parameters.port or (connection.port if connection else None) or ftplib.FTP_PORT
    for name, value in (("username", username), ("password", password)):
        if any(letter in value for letter in "\r\n\0"):
            raise StepRefused(f"{name} holds a line break")
    return host.strip("[]"), port, username, password


def _secure(client: _Client, parameters: FtpParameters, context: StepContext, place: str) -> None:
    if parameters.tls is False:
        return
    try:
        client.auth()
    except ftplib.Error as error:
        if parameters.tls is True:
            raise StepRefused(f"{place} offers no TLS ({_line(error)})") from error
        if parameters.password or parameters.connection:
            context.logger.warning("%s offers no TLS: the password is sent in the clear", place)


def remote_path(text: str) -> str:
    """A path on the server, as commands may hold it. StepRefused for one that would end a command."""
    if not text or text.endswith("/") or any(letter in text for letter in "\r\n\0"):
        raise StepRefused("remote_file must name a file, on one line")
    return text


def temporary_name(path: str, context: StepContext) -> str:
    """Where a file is built before it is renamed: the same for each attempt of a step, so that none piles up."""
    token = hashlib.sha256(f"{context.run_id}/{context.step_id}".encode()).hexdigest()[:12]
    target = PurePosixPath(path)
    return str(target.with_name(f".{target.name}.{token}.part"))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
