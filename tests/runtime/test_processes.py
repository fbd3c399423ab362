"""ProcessRunner: programs end with their step, whatever they do."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.steps.sdk import StepCancelled, StepError, StepRefused, StepTimedOut

Runner = Callable[..., ProcessRunner]


class Folder:
    """The one thing a ProcessRunner asks of a workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate(self, path: str) -> Path:
        return self.root / path


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    def make(stop: StopToken | None = None, **settings: object) -> ProcessRunner:
        environment = settings.pop("environment", dict(os.environ))
        return ProcessRunner(Folder(tmp_path), environment, stop=stop or StopToken(60), **settings)

    return make


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Law of every test here: no child, no zombie and no descriptor is left behind."""
    descriptors = len(os.listdir("/proc/self/fd"))
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def _ends(pid: int) -> bool:
    """Whether a process that is nobody's child here ends; a zombie that init has not reaped has ended."""
    try:
        process = psutil.Process(pid)
        process.wait(30)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_result(runner):
    """A program's streams are kept apart, with its exit code."""
    result = runner().run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.stdout, result.stderr, result.exit_code, result.truncated) == ("out\n", "err\n", 3, False)


def test_signal(runner):
    """A program that a signal killed has its negative number as exit code."""
    assert runner().run(["kill -9 $$"], shell=True).exit_code == -signal.SIGKILL


def test_both_streams_at_once(runner):
    """More output on both streams than pipes hold, while input is still coming, blocks nobody."""
    script = "import sys; d = sys.stdin.read(); sys.stderr.write(d[::-1]); sys.stdout.write(d)"
    data = "0123456789" * 100_000
    result = runner().run([sys.executable, "-c", script], stdin=data)
    assert (result.stdout, result.stderr) == (data, data[::-1])


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_input_that_nobody_reads(runner, size):
    """A program need not read its input."""
    assert runner().run(["true"], stdin=b"x" * size).exit_code == 0


@pytest.mark.parametrize(("limit", "kept", "truncated"), [(10, "é" * 5, False), (9, "é" * 4, True), (0, "", True)])
def test_bounded_output(runner, limit, kept, truncated):
    """Beyond the limit output is read and dropped, and a character is kept whole or not at all."""
    result = runner().run(["printf", "é" * 5], max_output_bytes=limit)
    assert (result.stdout, result.truncated) == (kept, truncated)


def test_bounded_memory(runner):
    """A program that writes without end until it is stopped costs no memory, and ends as any other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StepTimedOut) as stopped:
        runner(StopToken(1)).run(["yes"], max_output_bytes=1000)
    assert len(stopped.value.output["stdout"]) == 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_undecodable_output(runner):
    """Bytes that are not UTF-8 are replaced, not lost and not fatal."""
    assert runner().run(["printf", r"a\377b"]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_timeout(runner):
    """At the deadline a program gets TERM, and what it said before and after is in the error's output."""
    script = "trap 'echo ended; exit 1' TERM; echo started; while :; do sleep 0.01 2>/dev/null; done 2>/dev/null"
    with pytest.raises(StepTimedOut, match=r"^timed out after 0\.5 s$") as stopped:
        runner(StopToken(0.5), grace_seconds=30).run([script], shell=True)
    output = dict(stopped.value.output)
    assert output.pop("duration_ms") >= 500
    assert output == {"exit_code": None, "stdout": "started\nended\n", "stderr": "", "truncated": False}


def test_kill_after_grace(runner):
    """A group that ignores TERM is killed after the grace, descendants too."""
    script = "trap '' TERM; sleep 300 & echo $!; wait; wait"
    with pytest.raises(StepTimedOut) as stopped:
        runner(StopToken(0.5), grace_seconds=0.2).run([script], shell=True)
    assert _ends(int(stopped.value.output["stdout"]))


def test_cancel_from_another_thread(runner, tmp_path):
    """A cancellation wakes the thread that waits for the program; its reason is the error."""
    stop = StopToken(60)
    started = tmp_path / "started"

    def cancel() -> None:
        while not started.exists():
            time.sleep(0.005)
        stop.cancel("mission was cancelled")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(StepCancelled, match=r"^mission was cancelled$"):
        runner(stop).run(["sh", "-c", "touch started; exec sleep 300"])
    canceller.join()


def test_stopped_before_it_starts(runner, tmp_path):
    """A step that is stopped already starts no program."""
    with pytest.raises(StepTimedOut):
        runner(StopToken(0)).run(["touch", "made"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("streams", ["", ">/dev/null 2>&1"])
def test_background_programs_end_with_the_program(runner, streams):
    """What a program leaves behind is killed, whether it holds the pipes open or not."""
    result = runner().run([f"sleep 300 {streams} & echo $!"], shell=True)
    assert result.exit_code == 0
    assert _ends(int(result.stdout))


def test_a_daemon_that_holds_the_pipes(runner):
    """A descendant with a session of its own may live on; the step does not wait for its pipes."""
    script = "setsid sh -c 'echo $$; touch up; exec sleep 300' & until [ -e up ]; do sleep 0.01; done"
    result = runner().run([script], shell=True)
    daemon = psutil.Process(int(result.stdout))
    assert daemon.is_running()
    daemon.kill()
    assert _ends(daemon.pid)


def test_interrupted(runner):
    """An exception that a signal handler raises in the waiting thread leaves no program behind."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            runner().run([f"read go; kill -USR1 {os.getpid()}; exec sleep 300"], shell=True, stdin="go\n")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_shared_group(runner):
    """Without a group of its own a program is in this process's group: stopped with it, and by it alone."""
    result = runner(own_group=False).run(["ps", "-o", "pgid=", "-p", str(os.getpid())])
    with pytest.raises(StepTimedOut) as stopped:
        runner(StopToken(0.3), own_group=False).run(["sh", "-c", "cut -d' ' -f5 /proc/self/stat; exec sleep 300"])
    assert int(stopped.value.output["stdout"]) == int(result.stdout) == os.getpgrp()


def test_environment(runner):
    """Programs inherit the step's environment and additions to it, without what belongs to Airflow."""
    own = {"PATH": os.environ["PATH"], "KEPT": "1", "AIRFLOW__CORE__FERNET_KEY": "x", "AIRFLOW_CONN_DB": "y"}
    result = runner(environment={**own, "AIRFLOW_VAR_Z": "z"}).run(["env"], environment={"KEPT": "2", "ADDED": "3"})
    names = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert {name: names[name] for name in ("KEPT", "ADDED")} == {"KEPT": "2", "ADDED": "3"}
    assert not [name for name in names if name.startswith("AIRFLOW")]


def test_the_policy_is_asked_what_would_run(runner, tmp_path):
    """Every argument vector is judged before it runs, the script of a shell included."""
    judged: list[list[str]] = []

    def judge(arguments: list[str]) -> None:
        judged.append(list(arguments))
        raise StepRefused("not here")

    for arguments, shell in ((["touch", "made"], False), (["touch made; true", "x"], True)):
        with pytest.raises(StepRefused, match="not here"):
            runner(judge=judge).run(arguments, shell=shell)
    assert judged == [["touch", "made"], ["sh", "-c", "touch made; true", "sh", "x"]]
    assert list(tmp_path.iterdir()) == []


def test_without_capture(runner):
    """Without capture each line goes to the log, an endless one in pieces, and nothing is kept."""
    lines: list[str] = []
    script = "printf 'a\\r\\nb'; head -c 150000 /dev/zero | tr '\\0' x"
    result = runner(log=lines.append).run([script], shell=True, capture=False)
    assert lines[0] == "a"
    assert "".join(lines[1:]) == "b" + "x" * 150_000
    assert max(map(len, lines)) <= 64 * 1024
    assert (result.stdout, result.truncated) == ("", False)


NOT_STARTED = [
    (["no-such-program"], {}, 'program "no-such-program" was not found on the PATH'),
    (["./nope"], {}, 'program "./nope" does not exist'),
    (["./plain"], {}, 'program "./plain" may not be executed'),
    (["./bad-interpreter"], {}, "needs an interpreter that does not exist"),
    (["./no-format"], {}, "not in a format the system can run"),
    (["echo", "x" * 3_000_000], {}, "larger than the system allows"),
    (["true"], {"working_dir": "nope"}, 'working directory "nope" does not exist'),
    (["true"], {"working_dir": "plain"}, 'working directory "plain" is not a directory'),
]


@pytest.mark.parametrize(("arguments", "settings", "message"), NOT_STARTED)
def test_programs_that_do_not_start(runner, tmp_path, arguments, settings, message):
    """A program that cannot be started is one line that says why."""
    (tmp_path / "plain").write_text("text")
    for name, content in (("bad-interpreter", "#!/no/such/interpreter\n"), ("no-format", "echo no first line\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    with pytest.raises(StepError, match=message) as failure:
        runner().run(arguments, **settings)
    assert "\n" not in str(failure.value)
    assert not isinstance(failure.value, StepRefused)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [([], {}), ([""], {}), (["echo", "a\0b"], {}), (["true"], {"environment": {"A=B": "x"}})],
)
def test_what_no_program_can_be_given(runner, arguments, settings):
    """What can never work is refused, and so not retried."""
    with pytest.raises(StepRefused):
        runner().run(arguments, **settings)


def test_many_at_once(runner):
    """Programs that sleep run side by side; waiting for them costs no thread beyond the callers' own."""
    threads: set[int] = set()

    def sleep(_: int) -> int:
        code = runner().run(["sleep", "0.5"]).exit_code
        threads.add(threading.active_count())
        return code

    alone = threading.active_count()
    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(sleep, range(32))) == {0}
    assert max(threads) <= alone + 32
