"""ForkServer: what happens in a step's child stays there, and no child outlives whom it works for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from rustchain_airflow.runtime.isolation import ForkServer, WorkerLost
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.steps.sdk import StepCancelled, StepError, StepRefused, StepTimedOut

WORK = '''
"""What the children of these tests do."""

import ctypes, importlib, os, pathlib, signal, subprocess, sys, time


def announce(request):
    """Say, whole or not at all, that the child runs and who it is."""
    path = pathlib.Path(request["started"])
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)


def work(request):
    return globals()[request.pop("do")](request)


def echo(request):
    return request


def who(request):
    return {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp(), "session": os.getsid(0)}


def state(request):
    signals = {name: str(signal.getsignal(getattr(signal, name))) for name in ("SIGTERM", "SIGCHLD")}
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    descriptors = [os.readlink(link).split(":")[0] for link in links if os.path.islink(link)]
    return {"signals": signals, "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "descriptors": descriptors, "wakeup": signal.set_wakeup_fd(-1)}


PREPARED = []


def prepare(kind):
    PREPARED.append(kind)
    if kind:
        importlib.import_module(kind)


def modules(request):
    return {name: name in sys.modules for name in request["names"]} | {"prepared": PREPARED}


def big(request):
    return {"data": "x" * request["size"]}


def die(request):
    os.kill(os.getpid(), request["signal"])
    time.sleep(60)


def crash(request):
    ctypes.string_at(0)


def leave(request):
    os._exit(request["status"])


def leave_politely(request):
    sys.exit(request["status"])


def fail(request):
    raise RuntimeError("not my day")


def not_json(request):
    return {"value": object()}


def say(request):
    print("on standard output")
    return {}


def hang(request):
    if request.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    announce(request)
    time.sleep(300)


def hang_with_draft(request):
    folder = pathlib.Path(request["started"]).parent
    draft = folder / "draft"
    draft.write_text("half")
    try:
        announce(request)
        time.sleep(300)
    finally:
        draft.unlink()


def hang_with_program(request):
    program = subprocess.Popen(["sleep", "300"])
    request["started"], started = request["started"] + ".child", request["started"]
    pathlib.Path(request["started"]).write_text(str(program.pid))
    announce({"started": started})
    time.sleep(300)


def leave_program(request):
    return {"pid": subprocess.Popen(["sleep", "300"]).pid}
'''


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "isolated_work.py").write_text(WORK)
    (folder / "late_module.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def server(work_folder: Path) -> Iterator[ForkServer]:
    """A fork server; when it is closed no process and no descriptor of it is left."""
    descriptors = len(os.listdir("/proc/self/fd"))
    before = set(psutil.Process().children(recursive=True))
    with ForkServer("isolated_work:work", grace_seconds=5) as server:
        yield server
    assert set(psutil.Process().children(recursive=True)) <= before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def ask(server: ForkServer, do: str, stop: StopToken | None = None, **request: Any) -> dict[str, Any]:
    return server.run({"do": do, **request}, stop=stop or StopToken(60))


def _ended(pid: int) -> bool:
    """Whether a process ends; a zombie that waits for somebody else's attention has ended."""
    try:
        process = psutil.Process(pid)
        process.wait(30)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def _wait_for(path: Path) -> int:
    """The pid that a child writes when it runs."""
    deadline = StopToken(30)
    while not path.exists():
        deadline.check()
        threading.Event().wait(0.005)
    return int(path.read_text())


@pytest.mark.parametrize("value", [{}, {"a": [1, None, "é\ud83d"], "b": {"c": 1.5}}, {"big": "y" * 5_000_000}])
def test_reply(server, value):
    """A request reaches the work as it was made, and so does its reply."""
    assert ask(server, "echo", **value) == value


def test_one_child_a_request(server):
    """Each request has a process of its own, all forked by one server, each leading its group."""
    first, second = ask(server, "who"), ask(server, "who")
    assert first["pid"] != second["pid"]
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["group"] == first["pid"]
    assert first["session"] != os.getsid(0)


def test_many_threads(server):
    """Any number of threads may ask at once, the first of them starting the one server."""
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: ask(server, "who") | {"n": n}, range(64)))
    assert [reply["n"] for reply in replies] == list(range(64))
    assert len({reply["pid"] for reply in replies}) == 64
    assert len({reply["parent"] for reply in replies}) == 1


def test_clean_child(server):
    """A child unwinds when told to stop, has default signals else, and no descriptor but its own socket."""
    state = ask(server, "state")
    assert state["signals"]["SIGCHLD"] == str(signal.SIG_DFL)
    assert "_unwind" in state["signals"]["SIGTERM"]
    assert (state["blocked"], state["wakeup"]) == ([], -1)
    assert state["descriptors"].count("socket") <= 1 + sum(_is_socket(number) for number in (1, 2))
    assert not [name for name in state["descriptors"] if name.startswith("anon_inode")]


def _is_socket(descriptor: int) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket")


def test_prepare(server):
    """What the server prepares for a kind of request is done once, and found by all later children."""
    names = ["rustchain_airflow.steps.sdk", "late_module"]
    assert ask(server, "modules", names=names) == {names[0]: True, "late_module": False, "prepared": [""]}
    for kind in ("late_module", "module_that_is_not_there", "late_module"):
        assert server.run({"do": "echo"}, stop=StopToken(60), kind=kind) == {}
    assert ask(server, "modules", names=names) == {
        names[0]: True,
        "late_module": True,
        "prepared": ["", "late_module", "module_that_is_not_there"],
    }


LOSSES = [
    ({"do": "crash"}, "the step's process was killed by SIGSEGV"),
    ({"do": "die", "signal": 9}, r"the step's process was killed by SIGKILL \(out of memory\?\)"),
    ({"do": "die", "signal": 15}, "the step's process was killed by SIGTERM"),
    ({"do": "leave", "status": 3}, "the step's process exited with status 3 before it gave a result"),
    ({"do": "leave", "status": 0}, "the step's process exited with status 0 before it gave a result"),
    ({"do": "leave_politely", "status": 4}, "the step's process exited with status 4 before it gave a result"),
    ({"do": "fail"}, "the step's process failed: RuntimeError: not my day"),
    ({"do": "not_json"}, "the step's process failed: TypeError: .* not JSON serializable"),
]


@pytest.mark.parametrize(("request_", "message"), LOSSES)
def test_losses(server, request_, message):
    """However a child ends, it is one clear error of that request, and the next one is served."""
    before = ask(server, "who")["parent"]
    with pytest.raises(WorkerLost, match=f"^{message}$") as loss:
        server.run(dict(request_), stop=StopToken(60))
    assert not isinstance(loss.value, StepRefused)
    assert ask(server, "who")["parent"] == before


def test_large_replies(work_folder):
    """A reply may be as large as the limit, and beyond it is a failure and not a cut."""
    with ForkServer("isolated_work:work", max_reply_bytes=30_000_000) as server:
        assert len(ask(server, "big", size=29_999_900)["data"]) == 29_999_900
        with pytest.raises(StepError, match="more than the 30000000 that fit"):
            ask(server, "big", size=30_000_000)
        assert ask(server, "echo", a=1) == {"a": 1}


@pytest.mark.parametrize("stubborn", [False, True])
def test_deadline(work_folder, tmp_path, stubborn):
    """At the deadline the child is gone, even one that ignores TERM."""
    with ForkServer("isolated_work:work", grace_seconds=0.2) as server:
        ask(server, "echo")
        with pytest.raises(StepTimedOut, match=r"^timed out after 1 s$"):
            ask(server, "hang", StopToken(1), stubborn=stubborn, started=str(tmp_path / "pid"))
        assert not psutil.pid_exists(_wait_for(tmp_path / "pid"))


def test_cancel(server, tmp_path):
    """A cancellation from another thread ends the child at once, and all it had started in its group."""
    stop = StopToken(60)

    def cancel() -> None:
        _wait_for(tmp_path / "pid")
        stop.cancel("mission was cancelled")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(StepCancelled, match=r"^mission was cancelled$"):
        ask(server, "hang_with_program", stop, started=str(tmp_path / "pid"))
    canceller.join()
    assert not psutil.pid_exists(_wait_for(tmp_path / "pid"))
    assert _ended(_wait_for(tmp_path / "pid.child"))


def test_a_stopped_child_cleans_up(server, tmp_path):
    """A child that is told to stop unwinds first: what its blocks would remove is removed."""
    stop = StopToken(60)
    canceller = threading.Thread(target=lambda: _wait_for(tmp_path / "pid") and stop.cancel("enough"))
    canceller.start()
    with pytest.raises(StepCancelled):
        ask(server, "hang_with_draft", stop, started=str(tmp_path / "pid"))
    canceller.join()
    assert not (tmp_path / "draft").exists()


def test_stopped_before_it_starts(server):
    """A step that is stopped already is given no child."""
    with pytest.raises(StepTimedOut):
        ask(server, "echo", StopToken(0))


def test_programs_end_with_their_step(server):
    """What a child started in its group and left running is killed when the child ends."""
    assert _ended(ask(server, "leave_program")["pid"])


def test_interrupted_caller(server, tmp_path):
    """An exception that a signal handler raises in the waiting thread leaves no child behind."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    waiter = threading.Thread(target=lambda: _wait_for(tmp_path / "pid") and os.kill(os.getpid(), signal.SIGUSR1))
    waiter.start()
    try:
        with pytest.raises(Interrupted):
            ask(server, "hang", started=str(tmp_path / "pid"))
    finally:
        signal.signal(signal.SIGUSR1, before)
        waiter.join()
    assert _ended(_wait_for(tmp_path / "pid"))


def test_lost_server(server, tmp_path):
    """When the server dies its children die with it, their callers are told, and the next request has a new one."""
    old = ask(server, "who")["parent"]
    losses: list[Exception] = []

    def hang(name: str) -> None:
        try:
            ask(server, "hang", started=str(tmp_path / name))
        except WorkerLost as loss:
            losses.append(loss)

    callers = [threading.Thread(target=hang, args=(name,)) for name in ("a", "b")]
    for caller in callers:
        caller.start()
    children = [_wait_for(tmp_path / name) for name in ("a", "b")]
    os.kill(old, signal.SIGKILL)
    for caller in callers:
        caller.join()
    assert {str(loss) for loss in losses} == {"the process that runs isolated steps was lost"}
    assert len(losses) == 2
    assert all(_ended(child) for child in children)
    assert ask(server, "who")["parent"] != old


CALLER = """
import sys, threading
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.stop import StopToken
sys.path.insert(0, sys.argv[1])
server = ForkServer("isolated_work:work")
print(server.run({"do": "who"}, stop=StopToken(60))["parent"], flush=True)
server.run({"do": "hang", "started": sys.argv[2], "stubborn": True}, stop=StopToken(60))
"""


def test_killed_caller(work_folder, tmp_path):
    """When the process that runs the mission is killed, server and children end too."""
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(work_folder), str(tmp_path / "pid")], stdout=subprocess.PIPE, text=True
    )
    with caller:
        server = int(caller.stdout.readline())
        child = _wait_for(tmp_path / "pid")
        caller.kill()
    assert _ended(child)
    assert _ended(server)


def test_close(work_folder, tmp_path):
    """Closing ends what still runs; its caller is told."""
    server = ForkServer("isolated_work:work")
    losses: list[Exception] = []

    def hang() -> None:
        try:
            ask(server, "hang", started=str(tmp_path / "pid"), stubborn=True)
        except WorkerLost as loss:
            losses.append(loss)

    caller = threading.Thread(target=hang)
    caller.start()
    child = _wait_for(tmp_path / "pid")
    server.close()
    caller.join()
    assert len(losses) == 1
    assert _ended(child)
    server.close()


def test_closed_servers_cost_nothing():
    """A server that was never asked was never started."""
    before = psutil.Process().children()
    with ForkServer("isolated_work:work"):
        assert psutil.Process().children() == before


@pytest.mark.parametrize("work", ["no_such_module:work", "isolated_work:no_such_function"])
def test_work_that_does_not_exist(work_folder, work):
    """A server that cannot start is a lost worker, not a hang."""
    with ForkServer(work) as server, pytest.raises(WorkerLost):
        ask(server, "echo")


def test_standard_output_is_kept_clean(work_folder):
    """What children print goes to standard error: standard output is the caller's, for its JSON."""
    script = (
        "import sys\nsys.path.insert(0, sys.argv[1])\n"
        "from rustchain_airflow.runtime.isolation import ForkServer\n"
        "from rustchain_airflow.runtime.stop import StopToken\n"
        "with ForkServer('isolated_work:work') as server: server.run({'do': 'say'}, stop=StopToken(60))\n"
        "print('{}')"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(work_folder)], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {}
    assert "on standard output" in ran.stderr
