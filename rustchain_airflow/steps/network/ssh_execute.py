"""The step type ssh_execute."""

from __future__ import annotations

import io
import math
import os
import re
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from rustchain_airflow.steps.sdk import (
    Connection,
    ConnectionReference,
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
    import paramiko

_OPENING_SECONDS = 30.0
_KILL_SECONDS = 0.25
_WINDOW_BYTES = 2 * 1024 * 1024
"""How much the server may send ahead of what has been read."""

_CHUNK = 64 * 1024
_KEEPALIVE_SECONDS = 15
_MAX_KEY_BYTES = 1024 * 1024
_MAX_KNOWN_HOSTS_BYTES = 4 * 1024 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SshExecuteParameters(Parameters):
    """A server, how to log in, and what to run there."""

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("host", "connection"),)

    host: str | None = Field(None, description="Name or address of the server.")
    connection: ConnectionReference | None = Field(None, description="A connection id, or ssh://user@host.")
    port: int | None = Field(None, ge=1, le=65535, description="Default: the connection's, else 22.")
    username: str | None = Field(None, description="Who to log in as; needed unless the connection says it.")
    command: str = Field(min_length=1, description="A line for the user's shell on the remote side.")
    args: list[str] = Field(default_factory=list, description="Words put after the command, quoted for a POSIX shell.")
    password: Secret | None = Field(None, description="Default: the connection's.")
    key_file: ReadPath | None = Field(
        None, description="A private key; else the agent's and those in ~/.ssh are tried."
    )
    passphrase: Secret | None = Field(None, description="Opens the private key.")
    agent: bool = Field(True, description="Whether keys of the SSH agent and of ~/.ssh may be used.")
    known_hosts: WritePath | None = Field(None, description="The file of known host keys. Default: ~/.ssh/known_hosts.")
    host_key: Literal["strict", "accept_new"] = Field(
        "strict", description="strict: only hosts that are known; accept_new: others are remembered in known_hosts."
    )
    timeout: float | None = Field(None, gt=0, description="Seconds the command may take. Default: the step's.")
    environment: dict[str, str] = Field(default_factory=dict, description="Variables set before the command.")
    stdin: str | None = Field(None, description="Text for the command's standard input.")
    check: bool = Field(True, description="Whether an exit code other than 0 fails the step.")
    max_output_bytes: int = Field(1024 * 1024, ge=0, description="How much of each stream is kept.")


class SshExecuteOutput(Output):
    """How the command ended."""

    main: ClassVar[str | None] = "stdout"

    stdout: str
    stderr: str
    exit_code: int | None = Field(description="Null where the command did not end by itself.")
    host: str
    duration_ms: int
    truncated: bool = Field(description="Whether a stream was longer than max_output_bytes.")


@step(prepare=lambda: require("paramiko", "network"))
def ssh_execute(parameters: SshExecuteParameters, context: StepContext) -> SshExecuteOutput:
    """Run a command on another machine over SSH.

    **The host** has to be in `known_hosts` with the key it shows, else the step is refused; with
    `accept_new` a host that is not known yet is remembered, and one whose key has changed is refused all
    the same.

    **Logging in**: the password or key file given; else the keys of the connection, the SSH agent and
    those in ~/.ssh.

    **The command** is a line for the remote user's shell; `args` are quoted, so that they arrive as they
    are. `environment` is set by `export` in front of it, since servers accept few variables otherwise: the
    remote shell has to be a POSIX one, and the values can be seen in the remote process list. There is no
    terminal, so the streams stay apart. The step ends when the command has ended and closed its output: what it
    leaves in the background should have its output redirected.

    **When time is up**, or the mission is cancelled, the command's process group is ended (TERM, then KILL),
    and the connection is closed: by a signal request, which OpenSSH takes from 7.9 on, but not for root; else
    by a second command, which needs a POSIX shell and `ps`. Where the server offers neither, and for what has
    left the group, there is only the end of the connection.
    """
    paramiko = require("paramiko", "network")
    target = _target(parameters, context)
    command = _command_line(parameters)
    execution = _Execution(target.place, parameters.max_output_bytes)
    with _faults(target, execution, paramiko), _connected(parameters, target, context, paramiko) as client:
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(_KEEPALIVE_SECONDS)
        channel = transport.open_session(window_size=_WINDOW_BYTES, timeout=min(_OPENING_SECONDS, context.remaining()))
        with _ended(channel, paramiko):
            channel.exec_command(command)
            execution.follow(channel, parameters.stdin, parameters.timeout)
    output = execution.output()
    if execution.timed_out:
        raise StepError(f"the command on {target.place} timed out after {parameters.timeout:g} s", output=output)
    if output.exit_code is None:
        raise StepError(f"the command on {target.place} ended without an exit code: it was killed", output=output)
    if parameters.check and output.exit_code != 0:
        said = (output.stderr.strip().splitlines() or [""])[-1][:300]
        message = f"the command on {target.place} ended with exit code {output.exit_code}"
        raise StepError(f"{message}: {said}" if said else message, output=output)
    return output


def _command_line(parameters: SshExecuteParameters) -> str:
    exports = []
    for name, value in parameters.environment.items():
        if not _VARIABLE.fullmatch(name):
            raise StepRefused(f'environment: "{name}" is not the name of a variable')
        exports.append(f"export {name}={shlex.quote(value)}; ")
    line = "".join(exports) + " ".join([parameters.command, *map(shlex.quote, parameters.args)])
    if "\0" in line:
        raise StepRefused("the command holds a NUL byte, which no shell takes")
    return line


# --- where to, and as whom ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    host: str
    port: int
    username: str
    password: str | None
    extra: dict[str, Any]

    @property
    def place(self) -> str:
        return self.host if self.port == 22 else f"{self.host}:{self.port}"

    @property
    def known_as(self) -> str:
        """How files of known hosts call it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def _target(parameters: SshExecuteParameters, context: StepContext) -> _Target:
    connection = (
        context.connections.resolve(parameters.connection) if parameters.connection is not None else Connection("ssh")
    )
    host = parameters.host or connection.host
    username = parameters.username or connection.login
    if not host:
        raise StepRefused("the connection names no host")
    if not username:
        raise StepRefused("username is missing, and the connection names none")
    host = host.strip("[]")
    context.check_host(host)
    extra = dict(connection.extra or {})
    for name in ("private_key", "private_key_passphrase"):
        if extra.get(name):
            context.mask(str(extra[name]))
    password = parameters.password or connection.password
    return _Target(host, parameters.port or connection.port or 22, username, password, extra)


@contextmanager
def _connected(
    parameters: SshExecuteParameters, target: _Target, context: StepContext, paramiko: Any
) -> Iterator[paramiko.SSHClient]:
    seconds = min(_OPENING_SECONDS, context.remaining())
    key = _private_key(parameters, target, context, paramiko)
    is_told = key is not None or target.password is not None
    with paramiko.SSHClient() as client:
        _trust(client, parameters, target, context, paramiko)
        client.connect(
            target.host,
            target.port,
            target.username,
            password=target.password,
            pkey=key,
            timeout=seconds,
            banner_timeout=seconds,
            auth_timeout=seconds,
            allow_agent=parameters.agent and not is_told,
            look_for_keys=parameters.agent and not is_told,
        )
        yield client


def _private_key(parameters: SshExecuteParameters, target: _Target, context: StepContext, paramiko: Any) -> Any:
    """The key the mission or the connection names; None where neither does."""
    passphrase = parameters.passphrase or target.extra.get("private_key_passphrase")
    if parameters.key_file is not None:
        name = f"key_file {parameters.key_file}"
        text = context.workspace.read(parameters.key_file, max_bytes=_MAX_KEY_BYTES).decode("utf-8", "replace")
    elif target.extra.get("private_key"):
        name, text = "the private key of the connection", str(target.extra["private_key"])
    elif target.extra.get("key_file"):
        # the connection is the deployment's, which may name any file of the machine
        name = "the key file of the connection"
        try:
            text = Path(str(target.extra["key_file"])).expanduser().read_text()
        except (OSError, ValueError) as error:
            raise StepRefused(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    else:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password=passphrase)
        except paramiko.PasswordRequiredException as error:
            raise StepRefused(f"{name} is protected; give its passphrase") from error
        except (paramiko.SSHException, ValueError, IndexError, UnicodeError):
            continue
    raise StepRefused(f"{name} cannot be used: it is no Ed25519, ECDSA or RSA key, or the passphrase is wrong")


# --- host keys ------------------------------------------------------------------------------------


def _trust(
    client: paramiko.SSHClient, parameters: SshExecuteParameters, target: _Target, context: StepContext, paramiko: Any
) -> None:
    own = Path(context.environment.get("HOME", "~")).expanduser() / ".ssh" / "known_hosts"
    text = ""
    if parameters.known_hosts is not None:
        if context.workspace.entry(parameters.known_hosts) is not None:
            text = context.workspace.read(parameters.known_hosts, max_bytes=_MAX_KNOWN_HOSTS_BYTES).decode(
                "utf-8", "replace"
            )
        elif parameters.host_key == "strict":
            raise StepError(f"no such file: {parameters.known_hosts}")
    else:
        with suppress(OSError):
            text = own.read_text(errors="replace")
    if said := target.extra.get("host_key"):
        words = str(said).split()
        text += f"\n{target.known_as} {' '.join(words if len(words) > 1 else ['ssh-rsa', *words])}\n"
    keys = client.get_host_keys()
    for number, line in enumerate(text.splitlines()):
        if not line.strip() or line.lstrip().startswith(("#", "@")):
            continue  # certificates of authorities, and revoked keys, which are not accepted then
        with suppress(paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line, number)
            if entry is not None:
                for name in entry.hostnames:
                    keys.add(name, entry.key.get_name(), entry.key)

    class Policy(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, _client: Any, hostname: str, key: Any) -> None:
            line = f"{hostname} {key.get_name()} {key.get_base64()}\n"
            if parameters.host_key == "strict":
                raise StepRefused(
                    f"{target.place} is not a known host; check that its key is {key.get_name()} {key.fingerprint}, "
                    f"and add it to {parameters.known_hosts or own}, or set host_key: accept_new"
                )
            _remember(line, parameters.known_hosts, own, text, context)

    client.set_missing_host_key_policy(Policy())


def _remember(line: str, known_hosts: str | None, own: Path, text: str, context: StepContext) -> None:
    if known_hosts is not None:
        with context.workspace.write(known_hosts) as file:
            file.write((text.rstrip("\n") + "\n" if text.strip() else "").encode() + line.encode())
        return
    try:
        own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with own.open("a") as file:
            file.write(line)
    except OSError as error:
        context.logger.warning("the host key could not be remembered in %s: %s", own, error.strerror)


# --- the command ----------------------------------------------------------------------------------


class _Kept:
    """One stream, up to a number of bytes; the rest is read and dropped."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self.truncated = False

    def fill(self, receive: Any) -> None:
        while True:
            try:
                data = receive(_CHUNK)
            except OSError:
                return
            if not data:
                return
            room = self._max_bytes - len(self._kept)
            self.truncated |= len(data) > room
            self._kept += data[: max(room, 0)]

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


@dataclass
class _Execution:
    """What is known of the command so far."""

    host: str
    max_bytes: int
    exit_code: int | None = None
    timed_out: bool = False
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.stdout, self.stderr = _Kept(self.max_bytes), _Kept(self.max_bytes)

    def follow(self, channel: paramiko.Channel, stdin: str | None, seconds: float | None) -> None:
        """Carry the streams until the command has ended, or the seconds are over; whoever runs the step has its own."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.stdout.fill, args=[channel.recv], daemon=True),
            threading.Thread(target=self.stderr.fill, args=[channel.recv_stderr], daemon=True),
            threading.Thread(target=_feed, args=[channel, stdin], daemon=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads[:2]:
            thread.join(_bounded(deadline - time.monotonic()))
        ended = not any(thread.is_alive() for thread in threads[:2])
        if ended and channel.status_event.wait(_bounded(deadline - time.monotonic())):
            transport = channel.get_transport()
            if channel.exit_status == -1 and not transport.is_active():
                raise EOFError
            self.exit_code = None if channel.exit_status == -1 else channel.exit_status
        else:
            self.timed_out = True

    def output(self) -> SshExecuteOutput:
        return SshExecuteOutput(
            stdout=self.stdout.text(),
            stderr=self.stderr.text(),
            exit_code=self.exit_code,
            host=self.host,
            duration_ms=round((time.monotonic() - self.started) * 1000),
            truncated=self.stdout.truncated or self.stderr.truncated,
        )


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), threading.TIMEOUT_MAX)


def _feed(channel: paramiko.Channel, stdin: str | None) -> None:
    with suppress(OSError):
        if stdin:
            channel.sendall(stdin.encode("utf-8", "surrogatepass"))
        channel.shutdown_write()


class _Stopped(BaseException):
    """This process has been told to stop."""


@contextmanager
def _ended(channel: paramiko.Channel, paramiko: Any) -> Iterator[None]:
    """Leaves no command running: ends it on a time-out, on an error, and when this process is told to stop."""

    def stopped(_number: int, _frame: FrameType | None) -> None:
        raise _Stopped

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stopped) if in_main_thread else None
    try:
        try:
            yield
        finally:
            if in_main_thread:
                signal.signal(signal.SIGTERM, before)
            if not channel.exit_status_ready() or channel.exit_status == -1:
                _kill(channel, paramiko)
            channel.close()
    except _Stopped:
        os.kill(os.getpid(), signal.SIGTERM)


_END_SIBLINGS = """ps -A -o pid= -o ppid= | while read -r pid parent; do
[ "$parent" = "$PPID" ] && [ "$pid" != "$$" ] && kill -%s -- "-$pid"; done"""
"""Run on the server, signals the process groups of the other commands of this connection: its server's children."""


def _kill(channel: paramiko.Channel, paramiko: Any) -> None:
    """End the command's process group: first TERM, then KILL, each as far as the server lends a hand."""
    transport = channel.get_transport()
    for name in ("TERM", "KILL"):
        with suppress(OSError, EOFError, paramiko.SSHException):
            _send_signal(channel, name, paramiko)
            if channel.status_event.wait(_KILL_SECONDS):
                return
            # sshd takes no signals for root, whom no process of lesser rights serves; others take none at all
            with transport.open_session(timeout=2 * _KILL_SECONDS) as second:
                second.exec_command(_END_SIBLINGS % name)
                if channel.status_event.wait(2 * _KILL_SECONDS):
                    return


def _send_signal(channel: paramiko.Channel, name: str, paramiko: Any) -> None:
    """The request of RFC 4254 §6.9, which paramiko has no call for."""
    request = paramiko.Message()
    request.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("signal")
    request.add_boolean(False)
    request.add_string(name)
    channel.transport._send_user_message(request)  # type: ignore[union-attr]


@contextmanager
def _faults(target: _Target, execution: _Execution, paramiko: Any) -> Iterator[None]:
    """Every fault as a StepError or a StepRefused of one line."""
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise StepRefused(
            f"{target.place} shows another host key than the one that is known ({error.key.fingerprint}): "
            "somebody may be in between; where the change is wanted, remove the old key from known_hosts"
        ) from error
    except paramiko.PasswordRequiredException as error:
        raise StepRefused("a private key is protected; give its passphrase") from error
    except paramiko.AuthenticationException as error:
        raise StepRefused(f'{target.place} did not let "{target.username}" log in: {_line(error)}') from error
    except TimeoutError as error:
        raise StepError(f"{target.place} said nothing for {_OPENING_SECONDS:g} s") from error
    except EOFError as error:
        raise StepError(f"the connection to {target.place} was cut off", output=execution.output()) from error
    except socket.gaierror as error:
        raise StepError(f'"{target.host}" cannot be resolved to an address: {error.strerror}') from error
    except OSError as error:
        raise StepError(f"no connection to {target.place}: {_line(error)}") from error
    except paramiko.SSHException as error:
        raise StepError(f"{target.place} failed: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
