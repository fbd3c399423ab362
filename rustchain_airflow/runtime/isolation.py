"""A fork server: runs each isolated step in a child of its own, which can be stopped at any moment.

One server per mission, single-threaded, started with the first isolated step. It has imported what
all steps need, so a step costs a fork and not a start of Python; and because the process that runs
the mission never forks itself, its threads and locks are in nobody's way.

Each request has two socket pairs, made by the caller:

    caller ── data ──── child     request and reply, each a frame: length, kind, JSON
    caller ── control ─ server    caller to server: numbers of signals for the child's process group
                                  server to caller: how the child ended

Whoever dies is noticed by the end of its stream: a caller that is gone has its children killed, a
server that is gone takes its children with it (PR_SET_PDEATHSIG, where the system has it).
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import gc
import importlib
import json
import logging
import math
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.steps.sdk import StepError

_WORK = "rustchain_airflow.runtime.step:work"

_MAX_REPLY_BYTES = 80 * 1024 * 1024
"""Room for the largest output a policy usually allows, and what travels with it."""

_HEADER = struct.Struct(">cQ")
_REPLY, _FAILURE, _REQUEST = b"R", b"F", b"Q"
_STATUS = struct.Struct(">i")
_CHUNK = 256 * 1024
_NO_SUCH_CHILD = 0
_CLOSING_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 86_400.0

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rustchain_airflow.runtime import isolation; \
isolation.serve(json.loads(sys.argv[2]))"


class WorkerLost(StepError):
    """The process of an isolated step ended before it gave a result: a crash, a kill, a failed start."""


class ForkServer:
    """Runs JSON requests in forked children, many at once, from any thread.

    ``work`` names the function the children call, as ``module:function`` with ``(request) -> reply``,
    both JSON objects. A function ``prepare(kind)`` in the same module is called in the server itself, once
    for each kind of request and before the first child of that kind: what it imports and caches, all
    later children find done. It must start no thread. The server is started by the first request, and
    replaced when it has died. Standard output of the children goes to standard error.
    """

    def __init__(
        self,
        work: str = _WORK,
        *,
        grace_seconds: float = 2.0,
        max_reply_bytes: int = _MAX_REPLY_BYTES,
    ) -> None:
        self._work = work
        self._grace_seconds = grace_seconds
        self._max_reply_bytes = max_reply_bytes
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def run(self, request: dict[str, Any], *, stop: StopToken, kind: str = "") -> dict[str, Any]:
        """The reply of ``work`` to a request, from a child that is gone when this returns.

        Raises WorkerLost when the child ended without a reply, StepTimedOut or StepCancelled when it was
        stopped, StepError when the reply is too large.
        """
        stop.check()
        data, data_of_child = socket.socketpair()
        control, control_of_server = socket.socketpair()
        with data, control:
            with data_of_child, control_of_server:
                self._send(data_of_child, control_of_server, kind)
            child = _Child(data, control, json.dumps(request).encode(), self._max_reply_bytes)
            return child.wait(stop, self._grace_seconds)

    def close(self) -> None:
        """End the server; children that still run are killed and their callers told WorkerLost."""
        with self._lock:
            if self._server:
                self._server.close()
                self._server = None

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, data: socket.socket, control: socket.socket, kind: str) -> None:
        """Hand a request's sockets to the server, to a new one where the old one has died."""
        with self._lock:
            for _ in range(2):
                if self._server and not self._server.alive():
                    self._server.close()
                    self._server = None
                if self._server is None:
                    self._server = _Server(self._work)
                if self._server.send(data, control, kind):
                    return
        raise WorkerLost("the process that runs isolated steps could not be started; its standard error says why")


class _Server:
    """The caller's end of a running fork server."""

    def __init__(self, work: str) -> None:
        self._owner = os.getpid()
        self._requests, theirs = socket.socketpair()
        level = logging.getLogger("rustchain_airflow").getEffectiveLevel()
        settings = {"requests": theirs.fileno(), "work": work, "log_level": level}
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 (an entry may be "", the current folder)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, json.dumps(path), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it can be asked; not from a fork of the process that started it."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, data: socket.socket, control: socket.socket, kind: str) -> bool:
        """Pass a request on; False when the server is gone."""
        name = kind.encode()
        descriptors = array.array("i", [data.fileno(), control.fileno()])
        try:
            sent = self._requests.sendmsg(
                [_HEADER.pack(_REQUEST, len(name))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            )
            assert sent == _HEADER.size
            self._requests.sendall(name)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._requests.close()
        if self._owner != os.getpid():
            self._process.returncode = 0  # another process's child: nothing to wait for here
            return
        try:
            self._process.wait(_CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Child:
    """The caller's end of one request."""

    def __init__(self, data: socket.socket, control: socket.socket, request: bytes, max_reply_bytes: int) -> None:
        data.setblocking(False)
        control.setblocking(False)
        self._data = data
        self._control = control
        self._outgoing = memoryview(_HEADER.pack(_REQUEST, len(request)) + request)
        self._incoming = bytearray()
        self._max_reply_bytes = max_reply_bytes
        self._status: int | None = None
        self._poll = select.poll()
        self._poll.register(data, select.POLLIN | select.POLLOUT)
        self._poll.register(control, select.POLLIN)
        self._data_open = self._control_open = True

    def wait(self, stop: StopToken, grace_seconds: float) -> dict[str, Any]:
        with stop.waking() as wake:
            self._poll.register(wake, select.POLLIN)
            while self._control_open and not stop.stopped:
                self._turn(stop.remaining())
            self._poll.unregister(wake)
        if self._control_open:
            in_time = self._complete()
            self._end(grace_seconds)
            if not in_time and (error := stop.error()):
                raise error
        while self._data_open and self._turn(0):  # the child is gone, so what it said is all there
            pass
        return self._reply()

    def _end(self, grace_seconds: float) -> None:
        """Stop the child: TERM, and KILL after the grace. One that hangs in the kernel is not waited for."""
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _CLOSING_SECONDS)):
            with contextlib.suppress(OSError):
                self._control.send(bytes([number]))
            deadline = time.monotonic() + seconds
            while self._control_open and (left := deadline - time.monotonic()) > 0:
                self._turn(left)

    def _turn(self, seconds: float) -> bool:
        """Wait so long for something to happen, and serve it; False when nothing did."""
        timeout = None if math.isinf(seconds) else math.ceil(min(seconds, _LONGEST_WAIT_SECONDS) * 1000)
        events = self._poll.poll(timeout)
        for descriptor, event in events:
            if descriptor == self._control.fileno():
                self._hear()
            elif descriptor == self._data.fileno():
                if event & select.POLLOUT:
                    self._write()
                if event & ~select.POLLOUT:
                    self._read()
        return bool(events)

    def _hear(self) -> None:
        """How the child ended, or the end of the server itself."""
        try:
            said = self._control.recv(_STATUS.size)
        except OSError:
            said = b""
        if len(said) == _STATUS.size:
            (self._status,) = _STATUS.unpack(said)
        self._control_open = False
        self._poll.unregister(self._control)

    def _write(self) -> None:
        try:
            sent = self._data.send(self._outgoing[:_CHUNK])
            self._outgoing = self._outgoing[sent:]
        except BlockingIOError:
            return
        except OSError:  # the child is gone; how it ended is what the server says
            self._outgoing = self._outgoing[:0]
        if not self._outgoing:
            self._poll.modify(self._data, select.POLLIN)

    def _read(self) -> None:
        try:
            received = self._data.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self._incoming += received
        if not received:
            self._data_open = False
            self._poll.unregister(self._data)
        elif len(self._incoming) >= _HEADER.size and self._announced() > self._max_reply_bytes:
            raise StepError(
                f"the step's result is {self._announced()} bytes, more than the {self._max_reply_bytes} that fit"
            )

    def _announced(self) -> int:
        length: int = _HEADER.unpack_from(self._incoming)[1]
        return length

    def _complete(self) -> bool:
        received = len(self._incoming) - _HEADER.size
        return received >= 0 and received == self._announced()

    def _reply(self) -> dict[str, Any]:
        if not self._complete():
            raise WorkerLost(_loss(self._status))
        kind, _length = _HEADER.unpack_from(self._incoming)
        value = json.loads(memoryview(self._incoming)[_HEADER.size :].tobytes())
        if kind == _FAILURE:
            raise WorkerLost(f"the step's process failed: {value}")
        assert isinstance(value, dict)
        return value


def _loss(status: int | None) -> str:
    """Why there is no result, from what the server says: a wait status, a negative errno, or nothing."""
    if status is None:
        return "the process that runs isolated steps was lost"
    if status < 0:
        return f"the step's process could not be started: {os.strerror(-status)}"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"the step's process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the step's process exited with status {os.waitstatus_to_exitcode(status)} before it gave a result"


# --- in the server --------------------------------------------------------------------------------


def serve(settings: dict[str, Any]) -> None:
    """The fork server's whole life: from its first request to the end of the process that started it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a mask or a disposition of the caller's would be inherited
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    logging.basicConfig(level=settings["log_level"], format="%(levelname)s %(name)s: %(message)s")
    name, _, function = settings["work"].partition(":")
    module = importlib.import_module(name)
    loop = _ForkLoop(
        socket.socket(fileno=settings["requests"]), getattr(module, function), getattr(module, "prepare", None)
    )
    loop.run()


class _ForkLoop:
    """Forks, signals and reaps; nothing in it waits for anything but the next event."""

    def __init__(
        self,
        requests: socket.socket,
        work: Callable[[dict[str, Any]], dict[str, Any]],
        prepare: Callable[[str], object] | None,
    ) -> None:
        self._requests = requests
        self._work = work
        self._prepare = prepare
        self._prepared: set[str] = set()
        self._controls: dict[int, tuple[int, socket.socket]] = {}
        """By descriptor of the control socket: the child's pid, and the socket."""
        self._children: dict[int, socket.socket] = {}
        self._wake, self._waker = socket.socketpair()
        self._die_with_parent = _death_signal()

    def run(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        os.set_inheritable(self._requests.fileno(), False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        self._poll = poll
        while True:
            for descriptor, _event in poll.poll():
                if descriptor == self._requests.fileno():
                    if not self._accept():
                        self._kill_all()
                        return
                elif descriptor == self._wake.fileno():
                    self._wake.recv(4096)
                    self._reap()
                elif descriptor in self._controls:
                    self._obey(descriptor)

    def _accept(self) -> bool:
        """Take a request; False when nobody is there any more to make one."""
        try:
            header, descriptors, _flags, _address = socket.recv_fds(self._requests, _HEADER.size, 2)
        except ConnectionError:
            header, descriptors = b"", []
        if len(header) < _HEADER.size or len(descriptors) < 2:
            return False
        kind = _receive(self._requests, _HEADER.unpack(header)[1]).decode()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        data, control = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        if kind not in self._prepared:
            self._prepared.add(kind)
            self._make_ready(kind)
        with data:
            self._fork(data, control)
        return True

    def _make_ready(self, kind: str) -> None:
        if self._prepare:
            try:
                self._prepare(kind)
            except Exception:  # the step that needs it says so better, in its own words
                logging.getLogger(__name__).debug("cannot prepare for %s", kind, exc_info=True)
        gc.collect()
        gc.freeze()  # pages that no collection touches stay shared with the children

    def _fork(self, data: socket.socket, control: socket.socket) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            with control:
                _tell(control, -(error.errno or errno.EAGAIN))
            return
        if pid == 0:
            self._become_child(server, data, control)
        with contextlib.suppress(OSError):  # the child does the same: whoever comes first
            os.setpgid(pid, pid)
        control.setblocking(False)
        self._controls[control.fileno()] = (pid, control)
        self._children[pid] = control
        self._poll.register(control, select.POLLIN)

    def _become_child(self, server: int, data: socket.socket, control: socket.socket) -> NoReturn:
        try:
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            if self._die_with_parent:
                self._die_with_parent()
            if os.getppid() != server:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (control, self._requests, self._wake, self._waker, *self._children.values()):
                other.close()
            signal.signal(signal.SIGTERM, _unwind)
            _work_once(self._work, data)
            status = 0
        except _Terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            status = 1
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
            status = 1
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)

    def _obey(self, descriptor: int) -> None:
        """Signal a child as its caller says; kill it when the caller has gone."""
        pid, control = self._controls[descriptor]
        try:
            numbers = control.recv(64)
        except BlockingIOError:
            return
        except OSError:
            numbers = b""
        for number in numbers or bytes([signal.SIGKILL]):
            _signal_group(pid, number)
        if not numbers:
            self._poll.unregister(control)
            del self._controls[descriptor]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == _NO_SUCH_CHILD:
                return
            if (control := self._children.pop(pid, None)) is None:
                continue
            # While any process of the group lives, its number is not given away: what is hit here
            # was started by the step.
            _signal_group(pid, signal.SIGKILL)
            if self._controls.pop(control.fileno(), None):
                self._poll.unregister(control)
            with control:
                _tell(control, status)

    def _kill_all(self) -> None:
        for pid in self._children:
            _signal_group(pid, signal.SIGKILL)
        for pid in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _work_once(work: Callable[[dict[str, Any]], dict[str, Any]], data: socket.socket) -> None:
    _kind, length = _HEADER.unpack(_receive(data, _HEADER.size))
    request = json.loads(_receive(data, length))
    try:
        kind, reply = _REPLY, json.dumps(work(request)).encode()
    except Exception as error:
        traceback.print_exc()
        kind, reply = _FAILURE, json.dumps(f"{type(error).__name__}: {error}").encode()
    data.sendall(_HEADER.pack(kind, len(reply)) + reply)


def _receive(source: socket.socket, length: int) -> bytes:
    """Exactly so many bytes; EOFError when the other side has gone."""
    received = bytearray()
    while len(received) < length:
        chunk = source.recv(min(_CHUNK, length - len(received)))
        if not chunk:
            raise EOFError("the other side has gone")
        received += chunk
    return bytes(received)


class _Terminated(BaseException):
    """A child was told to stop: raised wherever its work is, so that what it holds half-done is given up."""


def _unwind(_number: int, _frame: FrameType | None) -> None:
    """Let `finally` and `with` do their duty before the end: a draft of a file is removed, a transaction undone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the cleaning up; SIGKILL follows
    raise _Terminated


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has said all there is to say; without a handler it would not."""


def _tell(control: socket.socket, status: int) -> None:
    with contextlib.suppress(OSError):  # a caller that has gone needs no answer
        control.send(_STATUS.pack(status))


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # nobody left; or, on some systems, only zombies
        pass


def _death_signal() -> Callable[[], None] | None:
    """Has the calling process killed when its parent dies, where the system can."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    set_death_signal = 1  # PR_SET_PDEATHSIG

    def die_with_parent() -> None:
        prctl(set_death_signal, signal.SIGKILL)

    return die_with_parent
