"""The program that stands between a mission and a process it started: run as a script, it imports nothing of ours.

Its life: it detaches itself, starts the program in a session of its own, and tells the step the two pids on the
control socket. Until the step answers that all is well, the end of that socket means that the step is gone, and the
program ends with it. From then on the keeper waits: it adopts what the program leaves behind, records how the
program ended, and goes when nothing is left. When the folder it records in says that the mission has ended, or is
removed, it ends the program; so a mission is obeyed on every machine that shares its workspace.

Arguments: control descriptor, folder descriptor, name, "keep" or "end", then the program and its arguments.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time

SET_PARENT_DEATH_SIGNAL = 1
SET_CHILD_SUBREAPER = 36

GRACE_SECONDS = 2.0
LOOK_SECONDS = 2.0
ENDED = "ended"
RELEASE = b"R"


def main() -> None:
    """Serve one program from its start to the end of all it started."""
    control, folder = int(sys.argv[1]), int(sys.argv[2])
    name, keep, command = sys.argv[3], sys.argv[4] == "keep", sys.argv[5:]
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in (control, folder):
        os.set_inheritable(descriptor, False)
    _control_process(SET_CHILD_SUBREAPER, 1)
    woken, waker = os.pipe()
    for descriptor in (woken, waker):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    pid, fault = _start(command)
    if fault:
        _tell(control, {"errno": fault})
        return
    _tell(control, {"pid": pid, "keeper": os.getpid()})
    _Keeper(pid, control, folder, name, keep=keep).run(woken)


class _Keeper:
    def __init__(self, pid: int, control: int, folder: int, name: str, *, keep: bool) -> None:
        self._pid = pid
        self._control: int | None = control
        self._folder = folder
        self._name = name
        self._keep = keep
        self._killing_at: float | None = None

    def run(self, woken: int) -> None:
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        assert self._control is not None
        poll.register(self._control, select.POLLIN)
        while self._reap():
            for descriptor, _event in poll.poll(self._patience()):
                if descriptor == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                elif descriptor == self._control:
                    poll.unregister(descriptor)
                    self._listen(descriptor)
            if self._killing_at is None and not self._keep and self._is_over():
                self._end()
            if self._killing_at is not None and time.monotonic() >= self._killing_at:
                self._signal(signal.SIGKILL)

    def _patience(self) -> int | None:
        """Milliseconds to wait for the next event."""
        if self._killing_at is not None:
            return max(20, round((self._killing_at - time.monotonic()) * 1000))
        return None if self._keep else round(LOOK_SECONDS * 1000)

    def _listen(self, control: int) -> None:
        """The one word of the step, or its end."""
        try:
            said = os.read(control, 1)
        except OSError:
            said = b""
        if said == RELEASE:
            os.close(control)
            self._control = None
        else:
            self._end()  # and leave it open: to the step, its end is ours

    def _is_over(self) -> bool:
        """Whether the mission has ended; a storage that does not answer says nothing."""
        try:
            os.stat(ENDED, dir_fd=self._folder)
        except FileNotFoundError:
            return os.fstat(self._folder).st_nlink == 0
        except OSError:
            return False
        return True

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        self._killing_at = time.monotonic() + GRACE_SECONDS

    def _signal(self, number: signal.Signals) -> None:
        """To the program's group, and to what has left it and was adopted here."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _reap(self) -> bool:
        """Take note of who has ended; False when nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._pid:
                self._record(os.waitstatus_to_exitcode(status))

    def _record(self, code: int) -> None:
        draft = f".{self._name}.exit.{os.getpid()}"
        with contextlib.suppress(OSError):
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=self._folder)
            os.write(handle, f"{code}\n".encode())
            os.close(handle)
            os.replace(draft, f"{self._name}.exit", src_dir_fd=self._folder, dst_dir_fd=self._folder)
        if self._control is not None:
            _tell(self._control, {"exit_code": code})


def _start(command: list[str]) -> tuple[int, int]:
    """The pid of the program, and the errno of a start that failed."""
    heard, told = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _control_process(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            # Python ignores some signals, and what is ignored stays so in the program
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)
        except OSError as error:
            os.write(told, str(error.errno or 0).encode())
        except BaseException:
            os.write(told, b"0")
        finally:
            os._exit(127)
    os.close(told)
    said = os.read(heard, 16)
    os.close(heard)
    if said:
        os.waitpid(pid, 0)
        return pid, int(said) or 8
    return pid, 0


def _children() -> list[int]:
    try:
        with open("/proc/thread-self/children") as listing:
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        return []


def _control_process(option: int, value: int) -> None:
    """Linux's prctl, where there is one."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _tell(control: int, message: dict[str, int]) -> None:
    with contextlib.suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
