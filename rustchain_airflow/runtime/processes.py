"""Programs that end with the step that started them."""

from __future__ import annotations

import codecs
import errno
import logging
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.secrets import belongs_to_airflow
from rustchain_airflow.steps.sdk import ProcessResult, StepError, StepRefused, Workspace

_CHUNK = 64 * 1024
_LONGEST_LINE = 64 * 1024
"""Bytes of one line that is passed to the log; a longer one is logged in pieces."""

_LINGER_SECONDS = 0.25
"""How long output may still come from descendants of a program that has ended by itself."""

_POLL_SECONDS = 0.02
"""How often a program is looked after where the system has no pidfd to wait on."""


class ProcessRunner:
    """Runs programs for one attempt of one step: `rustchain_airflow.steps.sdk.Processes`.

    ``environment`` is the step's own; Airflow's settings, connections and variables in it are not
    handed to programs (semantics §8.4). ``judge`` is asked with every argument vector, the script of
    a shell included, and raises StepRefused for what the policy forbids (semantics §8.2). ``log`` gets
    each line of programs that run without capture.

    Each program leads a process group of its own, which is gone when `run` returns: whatever it
    started and left behind is killed, unless it made a session of its own. With ``own_group`` false
    programs stay in the group of this process, for a step that is itself a child which is stopped
    as a group (`rustchain_airflow.runtime.isolation`).
    """

    def __init__(
        self,
        workspace: Workspace,
        environment: Mapping[str, str],
        *,
        stop: StopToken,
        grace_seconds: float = 2.0,
        own_group: bool = True,
        judge: Callable[[Sequence[str]], None] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._workspace = workspace
        self._environment = {name: value for name, value in environment.items() if not belongs_to_airflow(name)}
        self._stop = stop
        self._grace_seconds = grace_seconds
        self._own_group = own_group
        self._judge = judge
        self._log = log or logging.getLogger(__name__).info

    def run(
        self,
        arguments: Sequence[str],
        *,
        working_dir: str = ".",
        environment: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        max_output_bytes: int = 1024 * 1024,
        shell: bool = False,
        capture: bool = True,
    ) -> ProcessResult:
        """Run a program to its end (see `rustchain_airflow.steps.sdk.Processes`).

        When it was stopped, the StepTimedOut or StepCancelled that is raised has an ``output`` of
        stdout, stderr and truncated up to then, duration_ms, and an exit_code of None.
        """
        if not arguments or not arguments[0]:
            raise StepRefused("there is no program to run")
        vector = ["sh", "-c", arguments[0], "sh", *arguments[1:]] if shell else list(arguments)
        if self._judge:
            self._judge(vector)
        self._stop.check()
        folder = self._folder(working_dir)
        started = time.monotonic()
        running = _Running(
            stdin=stdin.encode("utf-8", "surrogatepass") if isinstance(stdin, str) else stdin,
            outputs=(
                (_Capture(max_output_bytes), _Capture(max_output_bytes))
                if capture
                else (_Lines(self._log), _Lines(self._log))
            ),
            own_group=self._own_group,
            grace_seconds=self._grace_seconds,
        )
        try:
            running.start(vector, folder, {**self._environment, **(environment or {})})
            exit_code = running.wait(self._stop)
        finally:
            running.end()
        duration_ms = round((time.monotonic() - started) * 1000)
        stdout, stderr = (output.text() for output in running.outputs)
        truncated = any(output.truncated for output in running.outputs)
        if exit_code is not None:
            return ProcessResult(exit_code, stdout, stderr, truncated, duration_ms)
        stopped = self._stop.error()
        assert stopped is not None
        stopped.output = {
            "exit_code": None,
            "stdout": stdout,
            "stderr": stderr,
            "truncated": truncated,
            "duration_ms": duration_ms,
        }
        raise stopped

    def spawn(
        self,
        arguments: Sequence[str],
        *,
        keeper: Sequence[str],
        stdout: int,
        stderr: int,
        working_dir: str = ".",
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start a program that outlives the step (see `rustchain_airflow.steps.sdk.Processes`)."""
        if not arguments or not arguments[0]:
            raise StepRefused("there is no program to run")
        if self._judge:
            self._judge(list(arguments))
        self._stop.check()
        folder = self._folder(working_dir)
        try:
            process = subprocess.Popen(
                [*keeper, *arguments],
                cwd=folder,
                env={**self._environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except ValueError as error:
            raise StepRefused(f"cannot be passed to a program: {error}") from error
        except OSError as error:
            raise StepError(_not_started(keeper[0], folder, error)) from error
        process.wait()  # what goes on is a child of it, and nobody's in this process

    def _folder(self, working_dir: str) -> Path:
        folder = self._workspace.locate(working_dir)
        if not folder.is_dir():
            raise StepError(
                f'working directory "{working_dir}" is not a directory'
                if folder.exists()
                else f'working directory "{working_dir}" does not exist'
            )
        return folder


def _not_started(program: str, folder: Path, error: OSError) -> str:
    if error.filename == str(folder):
        return f'working directory "{folder}" cannot be entered: {error.strerror}'
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            if "/" not in program:
                return f'program "{program}" was not found on the PATH'
            if (folder / program).exists():
                return f'program "{program}" needs an interpreter that does not exist (see its first line)'
            return f'program "{program}" does not exist'
        case errno.EACCES | errno.EPERM:
            return f'program "{program}" may not be executed (chmod +x mends a missing permission)'
        case errno.ENOEXEC:
            return f'program "{program}" is not in a format the system can run (does a script lack its #! line?)'
        case errno.E2BIG:
            return f'the arguments and environment of "{program}" are larger than the system allows'
    return f'program "{program}" could not be started: {error.strerror}'


class _Capture:
    """What one stream said, up to a number of bytes; the rest is dropped."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept = bytearray()
        self.truncated = False

    def feed(self, data: bytes) -> None:
        room = self._max_bytes - len(self._kept)
        self.truncated |= len(data) > room
        self._kept += data[: max(room, 0)]

    def text(self) -> str:
        # a cut in the middle of a character leaves nothing of it, rather than a replacement mark
        return codecs.getincrementaldecoder("utf-8")("replace").decode(self._kept, final=not self.truncated)


class _Lines:
    """Passes one stream to the log, line by line, and keeps nothing."""

    truncated = False

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]
        for line in lines:
            self._log(line.decode("utf-8", "replace").rstrip("\r"))

    def text(self) -> str:
        if self._rest:
            self._log(self._rest.decode("utf-8", "replace"))
            self._rest = b""
        return ""


class _Running:
    """One program between its start and the last of its process group."""

    def __init__(
        self,
        *,
        stdin: bytes | None,
        outputs: tuple[_Capture, _Capture] | tuple[_Lines, _Lines],
        own_group: bool,
        grace_seconds: float,
    ) -> None:
        self.outputs = outputs
        self._has_stdin = stdin is not None
        self._stdin = memoryview(stdin or b"")
        self._own_group = own_group
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self._sources: dict[int, _Capture | _Lines] = {}
        self._stdin_descriptor: int | None = None
        self._pidfd: int | None = None
        self._exited = False
        self._ended = False

    def start(self, vector: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start the program. Raises StepError, or StepRefused for what no program can be given."""
        try:
            self._process = process = subprocess.Popen(
                vector,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE if self._has_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=self._own_group,
            )
        except ValueError as error:  # a NUL byte, an unpaired surrogate, "=" in a variable's name
            raise StepRefused(f"cannot be passed to a program: {error}") from error
        except OSError as error:
            raise StepError(_not_started(vector[0], folder, error)) from error
        assert process.stdout is not None
        assert process.stderr is not None
        for stream, output in ((process.stdout, self.outputs[0]), (process.stderr, self.outputs[1])):
            self._sources[stream.fileno()] = output
            self._poll.register(stream, select.POLLIN)
        if process.stdin is not None:
            self._stdin_descriptor = process.stdin.fileno()
            os.set_blocking(self._stdin_descriptor, False)
            self._poll.register(self._stdin_descriptor, select.POLLOUT)
        self._pidfd = _pidfd(process.pid)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)

    def wait(self, stop: StopToken) -> int | None:
        """Carry its input and output until it has ended: its exit code, or None when it was stopped."""
        with stop.waking() as wake:
            self._poll.register(wake, select.POLLIN)
            while not self._exited and not stop.stopped:
                self._turn(stop.remaining())
            self._poll.unregister(wake)
        stopped = not self._exited
        if stopped:
            self._signal(signal.SIGTERM)
        self._drain(self._grace_seconds if stopped else _LINGER_SECONDS)
        self._end_group()
        assert self._process is not None
        return None if stopped else self._process.returncode

    def end(self) -> None:
        """Leave nothing behind: no process of the group, no zombie, no open pipe."""
        if self._process is None:
            return
        self._end_group()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _drain(self, seconds: float) -> None:
        """Wait for the program and for the ends of its streams, so long; then for what is in the pipes."""
        deadline = time.monotonic() + seconds
        while (self._sources or not self._exited) and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        if self._sources or not self._exited:
            self._signal(signal.SIGKILL)
            for _ in range(2 * len(self._sources)):
                self._turn(0)

    def _end_group(self) -> None:
        """Kill what is left of the group, then reap the program."""
        if self._ended or self._process is None:
            return
        self._ended = True
        # until the program is reaped its number is nobody else's, so this hits only what it started
        self._signal(signal.SIGKILL)
        try:
            self._process.wait(timeout=self._grace_seconds)
        except subprocess.TimeoutExpired:  # it runs as another user, or hangs in the kernel: not ours to end
            pass

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            if self._own_group:
                os.killpg(self._process.pid, number)
            elif not self._exited:
                os.kill(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # all gone; or, on some systems, nothing but zombies
            pass

    def _turn(self, seconds: float) -> None:
        """Wait for one event, at most so long, and serve it."""
        if self._pidfd is None:
            seconds = min(seconds, _POLL_SECONDS)
            self._exited = self._process is not None and self._process.poll() is not None
        timeout = None if math.isinf(seconds) else math.ceil(min(seconds, 86_400) * 1000)
        for descriptor, _event in self._poll.poll(timeout):
            if descriptor in self._sources:
                self._read(descriptor)
            elif descriptor == self._pidfd:
                self._exited = True
                self._poll.unregister(descriptor)
            elif descriptor == self._stdin_descriptor:
                self._write()

    def _read(self, descriptor: int) -> None:
        if data := os.read(descriptor, _CHUNK):
            self._sources[descriptor].feed(data)
        else:
            self._poll.unregister(descriptor)
            del self._sources[descriptor]

    def _write(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._stdin_descriptor is not None
        try:
            written = os.write(self._stdin_descriptor, self._stdin[:_CHUNK])
            self._stdin = self._stdin[written:]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to read any more, which is its right
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._poll.unregister(self._stdin_descriptor)
            self._stdin_descriptor = None
            self._process.stdin.close()


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends, where the system has them."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
