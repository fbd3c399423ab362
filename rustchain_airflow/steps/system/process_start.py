"""Start a process that runs beside the mission."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    PathAccess,
    ReadPath,
    StepContext,
    StepError,
    StepRefused,
    WritePath,
    require,
    step,
)
from rustchain_airflow.steps.system.registry import (
    KEEPER,
    Machine,
    OwnedProcess,
    Registry,
    born,
    elsewhere,
    end,
    living,
)

_TURN_SECONDS = 0.05
_CONNECT_SECONDS = 0.5
_ENDING_SECONDS = 10.0
_READ_BYTES = 1024 * 1024
_TAIL_BYTES = 2000


def _as_text(value: Any) -> Any:
    """YAML reads 8080 and true as they look; a program takes text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]


class ProcessStartParameters(Parameters):
    command: str = Field(
        min_length=1, description="The program; a whole command line, split as a shell does, when args is left out."
    )
    args: list[Text] | None = Field(None, description="Arguments, passed as they are: no shell reads them.")
    working_dir: Annotated[ReadPath, Alias("working_directory", "cwd")] = Field(
        ".", description="Folder the program starts in."
    )
    environment: Annotated[dict[str, Text], Alias("env")] = Field(
        default_factory=dict, description="Environment variables to add to the step's own."
    )
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_.-]{1,200}$", description="What process_kill calls it; default the step's id."
    )
    ready_port: int | None = Field(
        None, ge=1, le=65535, description="Wait until the program takes connections on this port of this machine."
    )
    ready_text: str | None = Field(None, min_length=1, description="Wait until the program has written this text.")
    ready_timeout: float = Field(10, gt=0, description="Seconds to wait for that; the program is ended afterwards.")
    stdout_file: WritePath | None = Field(
        None, description="File for its standard output; default one in .rustchain/ of the workspace."
    )
    stderr_file: WritePath | None = Field(None, description="File for its standard error; likewise.")
    keep: bool = Field(False, description="Let it run on when the mission ends.")


class ProcessStartOutput(Output):
    main: ClassVar[str | None] = "pid"

    pid: int = Field(description="The program's process id, on the machine of this step.")
    name: str = Field(description="What process_kill calls it.")
    command: list[str] = Field(description="The program and its arguments.")
    started_at: str = Field(description="When it was started, UTC.")
    ready: bool | None = Field(description="Whether it was seen to be ready; null when there was nothing to wait for.")
    stdout_file: str = Field(description="Where its standard output goes.")
    stderr_file: str = Field(description="Where its standard error goes.")


@step
def process_start(parameters: ProcessStartParameters, context: StepContext) -> ProcessStartOutput:
    """Start a process that runs beside the mission, and wait until it is ready.

    With ``ready_port`` or ``ready_text`` (or both) the step succeeds when the program takes connections, or has
    written the text; if it ends before, or takes longer than ``ready_timeout``, it is stopped with all it started and
    the step fails. Without either, the step succeeds as soon as the program runs. A port that somebody else
    listens on already is a failure.

    The process belongs to the mission: ``process_kill`` ends it by its name, and what is left of it, descendants that
    have turned into daemons included, ends with the mission. ``keep: true`` opts out of the latter. A name may be
    used again once its process has ended; a process that an earlier attempt of the same step left is ended first.
    """
    require("psutil", "system")
    command = _command(parameters)
    name = parameters.name or context.step_id
    registry = Registry(context.workspace, context.run_id)
    registry.prepare()
    _free(name, registry, context)
    if parameters.ready_port is not None and _answers(parameters.ready_port):
        raise StepError(f"port {parameters.ready_port} is taken already, so nobody could tell when {name} is ready")
    stdout_file = parameters.stdout_file or registry.path(name, "stdout")
    stderr_file = parameters.stderr_file or registry.path(name, "stderr")
    for file in dict.fromkeys((stdout_file, stderr_file)):
        with context.workspace.write(file):
            pass

    started_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with _Start(command, name, parameters, registry, context, (stdout_file, stderr_file)) as start:
        registry.add(
            OwnedProcess(
                name=name,
                pid=start.pid,
                born=born(start.pid),
                keeper_pid=start.keeper,
                keeper_born=born(start.keeper),
                machine=Machine.this(),
                command=command,
                step_id=context.step_id,
                keep=parameters.keep,
                started_at=started_at,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
            )
        )
        output = ProcessStartOutput(
            pid=start.pid,
            name=name,
            command=command,
            started_at=started_at,
            ready=None if parameters.ready_port is None and parameters.ready_text is None else False,
            stdout_file=context.workspace.relative(stdout_file),
            stderr_file=context.workspace.relative(stderr_file),
        )
        try:
            if output.ready is False:
                _wait_until_ready(start, parameters, context, (stdout_file, stderr_file), output)
                output.ready = True
            start.release()
        except BaseException:
            start.end()
            registry.forget(name)
            raise
    return output


def _command(parameters: ProcessStartParameters) -> list[str]:
    if parameters.args is not None:
        return [parameters.command, *parameters.args]
    try:
        words = shlex.split(parameters.command)
    except ValueError as error:
        raise StepRefused(f"the command cannot be split into words: {str(error).lower()}") from error
    if not words:
        raise StepRefused("the command is empty")
    return words


def _free(name: str, registry: Registry, context: StepContext) -> None:
    """Make sure nobody runs under this name."""
    there = registry.find(name)
    if there is None:
        return
    if place := elsewhere(there):
        raise StepRefused(f'a process called "{name}" was started on {place} and may still run there')
    if living(there):
        if there.step_id != context.step_id:
            raise StepRefused(f'a process called "{name}" runs already (pid {there.pid}); give this one another name')
        end([there], number=signal.SIGTERM, grace_seconds=2)
    registry.forget(name)


class _Start:
    """A program that runs, and ends with this block unless it is released."""

    def __init__(
        self,
        command: list[str],
        name: str,
        parameters: ProcessStartParameters,
        registry: Registry,
        context: StepContext,
        files: tuple[str, str],
    ) -> None:
        self._control, theirs = socket.socketpair()
        self._received = b""
        self._closed = False
        descriptors = [theirs.fileno()]
        try:
            folder = os.open(context.workspace.locate(registry.folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            descriptors.append(folder)
            for file in files:
                # opened by name, because it has to grow in place: what write() gives appears at its end only
                target = context.workspace.locate(file, access=PathAccess.WRITE)
                descriptors.append(os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK))
                os.set_blocking(descriptors[-1], True)
            context.processes.spawn(
                command,
                keeper=[
                    *(sys.executable, "-I", "-S", str(KEEPER)),
                    *(str(theirs.fileno()), str(folder), name, "keep" if parameters.keep else "end"),
                ],
                stdout=descriptors[2],
                stderr=descriptors[3],
                working_dir=parameters.working_dir,
                environment=parameters.environment,
                pass_fds=descriptors[:2],
            )
        except OSError as error:
            self._control.close()
            raise StepError(f"{name} cannot be started: {error.strerror}") from error
        except BaseException:
            self._control.close()
            raise
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            theirs.close()
        told = self._hear(_ENDING_SECONDS)
        if told is None or "pid" not in told:
            self._control.close()
            raise _not_started(command[0], told)
        self.pid: int = told["pid"]
        self.keeper: int = told["keeper"]
        self.exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether the program has failed, or nothing of it is left; one that turns into a daemon ends with 0."""
        return self._closed or self.exit_code not in (None, 0)

    def listen(self, seconds: float) -> None:
        """Learn what has become of the program, waiting so long for news."""
        if said := self._hear(seconds):
            self.exit_code = said["exit_code"]

    def _hear(self, seconds: float) -> dict[str, int] | None:
        """The next thing the keeper says; None when it says nothing for so long, or is gone."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._control.recv(4096)
            except TimeoutError:
                return None
            except ConnectionError:
                data = b""
            if not data:
                self._closed = True
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        said: dict[str, int] = json.loads(line)
        return said

    def release(self) -> None:
        """Let the program outlive this step."""
        try:
            self._control.send(b"R")
        except OSError:  # it has ended already, which is nothing that was asked about
            pass

    def end(self) -> None:
        """Have the program ended, and wait for that."""
        self._control.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _ENDING_SECONDS
        self._control.settimeout(_ENDING_SECONDS)
        try:
            while self._control.recv(4096) and time.monotonic() < deadline:
                pass
        except OSError:
            pass

    def __enter__(self) -> _Start:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()


def _not_started(program: str, told: dict[str, int] | None) -> StepError:
    code = told.get("errno", 0) if told else 0
    if code == errno.EACCES and "/" not in program:
        code = errno.ENOENT  # a folder of the PATH may not be searched, and no other has it
    match code:
        case errno.ENOENT | errno.ENOTDIR:
            return StepError(f'program "{program}" was not found')
        case errno.EACCES | errno.EPERM:
            return StepError(f'program "{program}" may not be executed (chmod +x mends a missing permission)')
        case errno.ENOEXEC:
            return StepError(f'program "{program}" is not in a format the system can run (does it lack its #! line?)')
    return StepError(f'program "{program}" could not be started' + (f": {os.strerror(code)}" if code else ""))


def _wait_until_ready(
    start: _Start,
    parameters: ProcessStartParameters,
    context: StepContext,
    files: tuple[str, str],
    output: ProcessStartOutput,
) -> None:
    """Return when all that was asked for is seen. Raises StepError when it ends first, or takes too long."""
    wanted = [text for text in (parameters.ready_text,) if text]
    streams = [context.workspace.open(file) for file in dict.fromkeys(files)] if wanted else []
    seen = [_Seen(stream, text) for text in wanted for stream in streams]
    deadline = time.monotonic() + parameters.ready_timeout
    try:
        while time.monotonic() < deadline and not start.is_over:
            has_written = not seen or any(text.appeared() for text in seen)
            if has_written and (parameters.ready_port is None or _answers(parameters.ready_port)):
                # a last look: another program may have answered on the port of one that could not have it
                start.listen(0)
                if not start.is_over:
                    return
            else:
                start.listen(min(_TURN_SECONDS, max(0.0, deadline - time.monotonic())))
    finally:
        for stream in streams:
            stream.close()
    said = _last_line(context, files)
    exit_code = start.exit_code
    fault = f"not ready after {parameters.ready_timeout:g} s, and ended"
    if start.is_over:
        fault = ("ended" if exit_code is None else f"ended with exit code {exit_code}") + " before it was ready"
    raise StepError(
        f"{output.name} {fault}" + (f": {said}" if said else ""),
        output={**output.model_dump(), "exit_code": exit_code},
    )


class _Seen:
    """Looks for a text in a file that grows."""

    def __init__(self, stream: BinaryIO, text: str) -> None:
        self._stream = stream
        self._text = text.encode()
        self._tail = b""
        self._found = False

    def appeared(self) -> bool:
        while not self._found and (data := self._stream.read(_READ_BYTES)):
            data = self._tail + data
            self._found = self._text in data
            self._tail = data[-(len(self._text) - 1) :] if len(self._text) > 1 else b""
        return self._found


def _answers(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(_CONNECT_SECONDS)
                connection.connect((address, port))
                return True
        except OSError:
            continue
    return False


def _last_line(context: StepContext, files: tuple[str, str]) -> str:
    """What the program said last, on standard error if anything."""
    for file in reversed(files):
        with context.workspace.open(file) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            lines = stream.read(_TAIL_BYTES).decode("utf-8", "replace").split("\n")
        if said := [line.strip() for line in lines if line.strip()]:
            return said[-1][:300]
    return ""
