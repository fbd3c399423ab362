"""The processes a run has started: the record on disk that every worker of the run can read, and ending them."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rustchain_airflow.steps.sdk import StepError, StepRefused, Workspace, require

FOLDER = ".rustchain"
KEEPER = Path(__file__).with_name("keeper.py")
ENDED = "ended"
"""A file in a run's folder that tells keepers on other machines that the mission has ended (see `keeper`)."""

MAX_RECORD_BYTES = 1024 * 1024
_HARD_SECONDS = 5.0
"""How long to wait for a process that was sent KILL; it can only hang in the kernel."""
_POLL_SECONDS = 0.02
_FARTHEST_PARENT = 4


@dataclass(frozen=True, slots=True)
class Machine:
    """Where pids mean the same processes."""

    host: str
    boot: str
    pid_namespace: str

    @classmethod
    def this(cls) -> Machine:
        return cls(socket.gethostname(), _text("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid"))


@dataclass(frozen=True, slots=True)
class OwnedProcess:
    """A process that a run has started, and the keeper that answers for it (see `keeper`).

    ``born`` and ``keeper_born`` tell a process from a later one with the same pid.
    """

    name: str
    pid: int
    born: str
    keeper_pid: int
    keeper_born: str
    machine: Machine
    command: list[str]
    step_id: str
    keep: bool
    started_at: str
    stdout_file: str
    stderr_file: str

    @classmethod
    def read(cls, text: bytes) -> OwnedProcess:
        """Raises ValueError for what is no such record."""
        try:
            record = json.loads(text)
            return cls(**{**record, "machine": Machine(**record["machine"])})
        except (TypeError, KeyError) as error:
            raise ValueError(str(error)) from error


class Registry:
    """The processes of one run: a file each in ``.rustchain/processes/<run>/`` of its workspace."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._workspace = workspace
        # any text may be a run id, and two ids never share a folder
        spelled = re.sub(r"[^A-Za-z0-9_.-]", "_", run_id)[:100].lstrip(".")
        digest = hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self.folder = f"{FOLDER}/processes/{spelled}-{digest}"

    def path(self, name: str, suffix: str) -> str:
        """A file of a process: json (the record), exit (its exit code), stdout or stderr."""
        return f"{self.folder}/{name}.{suffix}"

    def prepare(self) -> None:
        """Make the folder, invisible to git; a run that is continued has not ended."""
        self._workspace.make_folder(self.folder)
        ignore = f"{FOLDER}/.gitignore"
        if self._workspace.entry(ignore) is None:
            with self._workspace.write(ignore) as file:
                file.write(b"*\n")
        self._remove(f"{self.folder}/{ENDED}")

    def add(self, process: OwnedProcess) -> None:
        """Record a process; StepError when its name was taken meanwhile."""
        with self._workspace.write(self.path(process.name, "json"), mode=0o600, overwrite=False) as file:
            file.write(json.dumps(asdict(process), indent=1).encode())

    def forget(self, name: str) -> None:
        for suffix in ("json", "exit"):
            self._remove(self.path(name, suffix))

    def find(self, name: str) -> OwnedProcess | None:
        """The process of a name, ended or not; None when the run has started none."""
        path = self.path(name, "json")
        if self._workspace.entry(path) is None:
            return None
        try:
            return OwnedProcess.read(self._workspace.read(path, max_bytes=MAX_RECORD_BYTES))
        except ValueError as error:
            raise StepError(f"{path} is not a record of a process: {error}") from error

    def all(self) -> list[OwnedProcess]:
        """All processes the run has started, ended or not, in name order."""
        entry = self._workspace.entry(self.folder)
        if entry is None:
            return []
        names = [entry.name[:-5] for entry in self._workspace.scan(self.folder) if entry.name.endswith(".json")]
        return [process for name in names if (process := self.find(name)) is not None]

    def exit_code(self, name: str, *, within: float = 0) -> int | None:
        """How a process ended, negative for a signal; None while it runs, or when its keeper was killed.

        ``within`` seconds its keeper, which takes note of its end a moment after it, is waited for.
        """
        path = self.path(name, "exit")
        deadline = time.monotonic() + within
        while self._workspace.entry(path) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if self._workspace.entry(path) is None:
            return None
        try:
            return int(self._workspace.read(path, max_bytes=64))
        except ValueError:
            return None

    def mark_ended(self) -> None:
        with self._workspace.write(f"{self.folder}/{ENDED}"):
            pass

    def _remove(self, path: str) -> None:
        try:
            self._workspace.remove(path)
        except StepError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise


def elsewhere(process: OwnedProcess) -> str | None:
    """The machine a process runs on, when it is not this one; None when it is, also after a restart."""
    here = Machine.this()
    if process.machine.host != here.host:
        return f'host "{process.machine.host}" (this is "{here.host}")'
    if process.machine.boot == here.boot and process.machine.pid_namespace != here.pid_namespace:
        return f'another container of host "{here.host}"'
    return None


def living(process: OwnedProcess, *, tree: bool = True) -> list[Any]:
    """The process, and with ``tree`` all it has started, as far as they live: psutil.Process each.

    Only what descends from a keeper of ours is given, so neither a pid that means another process by now, nor a
    record that somebody made up, leads to a process that is not the mission's.
    """
    psutil = require("psutil", "system")
    if process.machine != Machine.this():
        return []
    try:
        keeper = psutil.Process(process.keeper_pid)
        if born(process.keeper_pid) != process.keeper_born or not _is_keeper(keeper.cmdline()):
            return []
        below = [child for child in keeper.children(recursive=True) if _lives(child)]
    except psutil.Error:
        return []
    main = [child for child in below if child.pid == process.pid and born(child.pid) == process.born]
    return main + [child for child in below if child not in main] if tree else main


def end(
    processes: Sequence[OwnedProcess], *, number: signal.Signals, grace_seconds: float, tree: bool = True
) -> dict[str, signal.Signals | None]:
    """End processes of this machine: a signal, and KILL for what is left after the grace.

    Returns the last signal each needed, by name; None for one that had ended before. With ``tree`` all that they
    started ends as well. Raises StepError for what may not be signalled, or survives KILL.
    """
    last: dict[str, signal.Signals | None] = {process.name: None for process in processes}
    deadline = time.monotonic() + (0 if number == signal.SIGKILL else grace_seconds)
    left = _signal(processes, number, last, tree=tree)
    while left and time.monotonic() < deadline:
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        left = [process for process in left if living(process, tree=tree)]
    deadline = time.monotonic() + _HARD_SECONDS
    while left and time.monotonic() < deadline:
        # again and again: what forks faster than it is listed has to be caught as well
        left = _signal(left, signal.SIGKILL, last, tree=tree)
        time.sleep(_POLL_SECONDS)
    if left:
        raise StepError(f"{', '.join(process.name for process in left)} cannot be killed")
    return last


def _signal(
    processes: Sequence[OwnedProcess],
    number: signal.Signals,
    last: dict[str, signal.Signals | None],
    *,
    tree: bool,
) -> list[OwnedProcess]:
    """Signal what lives; returns the processes that had something to signal."""
    psutil = require("psutil", "system")
    signalled = []
    for process in processes:
        found = living(process, tree=tree)
        for one in found:
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied as error:
                raise StepError(f"{process.name}: process {one.pid} may not be signalled: permission denied") from error
            last[process.name] = number
        if found:
            signalled.append(process)
    return signalled


def born(pid: int) -> str:
    """When a process started, in the finest words the system has: equal only for one and the same process.

    Ticks since the start of the machine where they can be read, because a clock that is set changes times.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return f"tick {int(fields[19])}"
    except (OSError, IndexError, ValueError):
        psutil = require("psutil", "system")
        try:
            return f"time {psutil.Process(pid).create_time():.2f}"
        except psutil.Error:
            return "gone"


def signal_named(name: str) -> signal.Signals:
    """The signal of a name as people write it: TERM, SIGTERM, term. StepRefused for another."""
    spelled = name.strip().upper().removeprefix("SIG")
    if spelled not in ENDING_SIGNALS:
        raise StepRefused(f'signal "{name}" is not one of {", ".join(ENDING_SIGNALS)}')
    return signal.Signals[f"SIG{spelled}"]


ENDING_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "KILL", "ABRT", "USR1", "USR2")


def _lives(process: Any) -> bool:
    psutil = require("psutil", "system")
    try:
        return bool(process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.Error:
        return False


def _is_keeper(command: Sequence[str]) -> bool:
    known = KEEPER.parts[-_FARTHEST_PARENT:]
    return any(Path(word).parts[-_FARTHEST_PARENT:] == known for word in command[1:5])


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
