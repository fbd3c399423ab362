"""process_start, and what becomes of a process when its mission ends."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.owned_processes import end_owned_processes
from rustchain_airflow.runtime.processes import ProcessRunner
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps.sdk import StepError, StepRefused

STAY = "import signal; print('up'); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAY!r}]); print('up'); {STAY}"
DAEMON = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("daemon", os.getpid(), flush=True)
        {STAY}
    os._exit(0)
"""


def lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid, seconds=20):
    """Whether it ends in time; returns as soon as it does."""
    deadline = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not lives(pid)


def daemon_pid(workspace, output):
    return int((workspace.root / output["stdout_file"]).read_text().split()[1])


class TestReadiness:
    def test_nothing_to_wait_for(self, start, workspace):
        """Without a sign to wait for, the step ends when the program runs, and says it saw none."""
        output = start(STAY, name="server")
        assert lives(output["pid"])
        assert output["name"] == "server"
        assert output["ready"] is None
        assert output["command"] == [sys.executable, "-u", "-c", STAY]

    def test_port(self, start, free_port):
        """ready_port waits until the program takes connections."""
        script = (
            f"import socket, time; s = socket.socket(); time.sleep(0.3); s.bind(('127.0.0.1', {free_port})); "
            f"s.listen(); {STAY}"
        )
        assert start(script, ready_port=free_port)["ready"] is True
        socket.create_connection(("127.0.0.1", free_port), timeout=5).close()

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_text(self, start, workspace, stream):
        """ready_text waits until the program has written it, on either stream, in pieces too."""
        script = (
            f"import sys, time; w = sys.{stream}; w.write('x' * 100000 + 'rea'); w.flush(); time.sleep(0.2); "
            f"w.write('dy ☃\\n'); w.flush(); {STAY}"
        )
        output = start(script, ready_text="ready ☃", environment={"PYTHONIOENCODING": "utf-8"})
        assert output["ready"] is True
        assert (workspace.root / output[f"{stream}_file"]).read_text().startswith("xxx")

    def test_too_late(self, start, context):
        """A program that is not ready in time is ended with all it started, and its name is free again."""
        with pytest.raises(StepError, match=r"not ready after 0.5 s, and ended: up") as failed:
            start(FAMILY, name="slow", ready_text="never", ready_timeout=0.5)
        assert failed.value.output["ready"] is False
        assert gone(failed.value.output["pid"])
        assert start(STAY, name="slow")["name"] == "slow"

    def test_deaf(self, start):
        """One that ignores TERM is killed."""
        with pytest.raises(StepError, match=r"not ready") as failed:
            start(DEAF, ready_text="never", ready_timeout=0.3)
        assert not lives(failed.value.output["pid"])

    @pytest.mark.parametrize("sign", [{"ready_text": "never"}, {"ready_port": "free"}])
    def test_dies_before(self, start, free_port, sign):
        """A program that ends before it is ready fails the step at once, with its exit code and last words."""
        sign = {name: free_port if value == "free" else value for name, value in sign.items()}
        with pytest.raises(StepError, match=r"ended with exit code 3 before it was ready: no licence") as failed:
            start("import sys; print('no licence', file=sys.stderr); sys.exit(3)", ready_timeout=60, **sign)
        assert failed.value.output["exit_code"] == 3

    def test_port_of_somebody_else(self, start):
        """A port that is taken says nothing about the program, so nothing is started."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(StepError, match=r"is taken already"):
                start(STAY, ready_port=taken.getsockname()[1])


class TestStart:
    def test_output_files(self, start, run, workspace):
        """Each stream goes to its file; one file may take both."""
        script = f"import sys; print('out'); print('err', file=sys.stderr); {STAY}"
        output = start(script, stdout_file="logs/a.log", stderr_file="logs/b.log", ready_text="up")
        assert (output["stdout_file"], output["stderr_file"]) == ("logs/a.log", "logs/b.log")
        assert (workspace.root / "logs/a.log").read_text() == "out\nup\n"
        assert (workspace.root / "logs/b.log").read_text() == "err\n"
        start(script, name="both", stdout_file="both.log", stderr_file="both.log", ready_text="up")
        assert (workspace.root / "both.log").read_text() == "out\nerr\nup\n"

    def test_default_files_are_invisible_to_git(self, start, workspace):
        """What the step keeps in the workspace is ignored by git."""
        output = start(STAY)
        assert output["stdout_file"].startswith(".rustchain/")
        assert (workspace.root / ".rustchain" / ".gitignore").read_text() == "*\n"

    def test_environment_and_folder(self, start, context, workspace):
        """The program has the step's environment and what is added, starts in its folder, and has no input."""
        (workspace.root / "sub").mkdir()
        context.environment["AIRFLOW__CORE__FERNET_KEY"] = "secret"
        context.processes = ProcessRunner(workspace, context.environment, stop=context.stop)
        script = (
            "import os, sys; print(os.getcwd(), os.environ['PORT'], os.environ['ON'], "
            f"[k for k in os.environ if k.startswith('AIRFLOW__')], repr(sys.stdin.read())); {STAY}"
        )
        output = start(script, working_dir="sub", environment={"PORT": 8080, "ON": True}, ready_text="up")
        said = (workspace.root / output["stdout_file"]).read_text().splitlines()[0]
        assert said == f"{workspace.root / 'sub'} 8080 true [] ''"

    def test_nothing_is_handed_down(self, start, workspace):
        """The program gets no descriptor of ours, and the signal settings a shell would give it."""
        script = (
            "import os, signal; print(sorted(os.listdir('/proc/self/fd')), "
            f"signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGPIPE)); {STAY}"
        )
        if not Path("/proc/self/fd").exists():
            pytest.skip("needs /proc")
        output = start(script, ready_text="up")
        first = (workspace.root / output["stdout_file"]).read_text().splitlines()[0]
        # 3 is the listing itself; Python sets SIGPIPE for itself
        assert first == "['0', '1', '2', '3'] 0 1"

    def test_own_session(self, start):
        """The program leads a session of its own, apart from the step's."""
        pid = start(STAY)["pid"]
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid

    def test_command_line(self, run, context, workspace):
        """A command without args is split as a shell does, and no shell reads it."""
        output = run("process_start", {"command": "sh -c 'echo $0; exec sleep 1000' '$HOME *'", "ready_text": "*"})
        assert output["command"] == ["sh", "-c", "echo $0; exec sleep 1000", "$HOME *"]
        end_owned_processes(workspace.root, context.run_id, grace_seconds=0)

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("no-such-program-here", r'"no-such-program-here" was not found'),
            ("./missing", r'"./missing" was not found'),
            ("./plain.txt", r"may not be executed"),
            ("./broken", r"not in a format the system can run"),
        ],
    )
    def test_not_startable(self, run, workspace, command, message):
        """A program that cannot be started fails the step with the reason, and leaves no record."""
        (workspace.root / "plain.txt").write_text("text")
        (workspace.root / "broken").write_bytes(b"\x7fELF nonsense")
        (workspace.root / "broken").chmod(0o755)
        with pytest.raises(StepError, match=message):
            run("process_start", {"command": command, "name": "x"})
        with pytest.raises(StepRefused, match=r"started no process"):
            run("process_kill", {"name": "x"})

    def test_judged(self, run, context, workspace):
        """The policy judges the program as it judges every other."""

        def refuse(arguments):
            raise StepRefused(f"not allowed: {arguments}")

        context.processes = ProcessRunner(workspace, context.environment, stop=context.stop, judge=refuse)
        with pytest.raises(StepRefused, match=r"not allowed: \['sudo', 'reboot'\]"):
            run("process_start", {"command": "sudo reboot"})

    @pytest.mark.parametrize(
        ("parameters", "error"),
        [
            ({"command": "sleep 'oops"}, StepRefused),
            ({"command": "   "}, StepRefused),
            ({"command": "sleep 1", "stdout_file": "../out"}, StepRefused),
            ({"command": "sleep 1", "working_dir": "missing"}, StepError),
            ({}, ValidationError),
            ({"command": "x", "ready_port": 70000}, ValidationError),
            ({"command": "x", "name": "../x"}, ValidationError),
            ({"command": "x", "ready_timeout": 0}, ValidationError),
        ],
    )
    def test_refusals(self, run, parameters, error):
        """What cannot be meant is not started."""
        with pytest.raises(error):
            run("process_start", parameters)

    def test_name_in_use(self, start, context):
        """Two steps cannot share a name while its process runs."""
        context.step_id = "first"
        start(STAY, name="db")
        context.step_id = "second"
        with pytest.raises(StepRefused, match=r'"db" runs already'):
            start(STAY, name="db")

    def test_second_attempt(self, start, context):
        """What an earlier attempt of the same step left is ended before the new one starts."""
        first = start(STAY)["pid"]
        second = start(STAY)["pid"]
        assert not lives(first)
        assert lives(second)

    def test_link_out_of_the_workspace(self, start, workspace, tmp_path):
        """Records and logs do not follow a link out of the workspace."""
        (tmp_path / "outside").mkdir()
        (workspace.root / ".rustchain").symlink_to(tmp_path / "outside")
        with pytest.raises(StepRefused, match=r"outside the workspace"):
            start(STAY)
        assert list((tmp_path / "outside").iterdir()) == []


class TestEndOfMission:
    def test_ended(self, start, context, workspace):
        """At the end of its mission a process ends, with what it started; a second call finds nothing."""
        output = start(FAMILY, ready_text="up")
        child = psutil.Process(output["pid"]).children()[0].pid
        (ended,) = end_owned_processes(workspace.root, context.run_id)
        assert (ended.name, ended.pid, ended.ended, ended.detail) == ("step", output["pid"], True, "SIGTERM")
        assert not lives(output["pid"])
        assert not lives(child)
        assert end_owned_processes(workspace.root, context.run_id) == []

    def test_deaf(self, start, context, workspace):
        """One that ignores TERM is killed after the grace."""
        pid = start(DEAF, ready_text="up")["pid"]
        (ended,) = end_owned_processes(workspace.root, context.run_id, grace_seconds=0.2)
        assert ended.detail == "SIGKILL"
        assert not lives(pid)

    def test_daemon(self, start, context, workspace):
        """A program that turned itself into a daemon ends as well, though it left its session and its parent."""
        output = start(DAEMON, ready_text="up")
        assert gone(output["pid"])
        pid = daemon_pid(workspace, output)
        assert lives(pid)
        assert [process.ended for process in end_owned_processes(workspace.root, context.run_id)] == [True]
        assert not lives(pid)

    def test_keep(self, start, context, workspace):
        """keep lets a process run on."""
        pid = start(STAY, keep=True)["pid"]
        assert end_owned_processes(workspace.root, context.run_id) == []
        assert lives(pid)

    def test_other_runs(self, start, context, workspace):
        """The end of one run does not touch what another run in the same workspace has started."""
        pid = start(STAY)["pid"]
        assert end_owned_processes(workspace.root, "another-run") == []
        assert lives(pid)

    def test_nothing_started(self, tmp_path):
        """A run that started nothing has nothing to end, and leaves nothing behind."""
        assert end_owned_processes(tmp_path, "run-1") == []
        assert list(tmp_path.iterdir()) == []

    def test_another_machine(self, start, context, workspace):
        """A process on another machine is told through the shared workspace, and ends by itself."""
        output = start(STAY, name="far")
        record = next(workspace.root.glob(".rustchain/processes/*/far.json"))
        entry = json.loads(record.read_text())
        entry["machine"]["host"] = "elsewhere.example"
        record.write_text(json.dumps(entry))
        (left,) = end_owned_processes(workspace.root, context.run_id)
        assert left.ended is False
        assert 'host "elsewhere.example"' in left.detail
        assert gone(output["pid"])

    def test_workspace_removed(self, start, workspace):
        """A process whose workspace is removed with its run ends by itself."""
        pid = start(STAY)["pid"]
        workspace.remove(".rustchain", recursive=True)
        assert gone(pid)

    def test_damaged_record(self, start, context, workspace, caplog):
        """A record that cannot be read is reported, never raised."""
        start(STAY)
        next(workspace.root.glob(".rustchain/processes/*/step.json")).write_text("{")
        assert end_owned_processes(workspace.root, context.run_id) == []
        assert "may be left" in caplog.text

    def test_many(self, start, context, workspace):
        """Many processes share one grace."""
        pids = [start(DEAF, name=f"p{number}", ready_text="up")["pid"] for number in range(3)]
        assert len(end_owned_processes(workspace.root, context.run_id, grace_seconds=0.3)) == 3
        assert not any(lives(pid) for pid in pids)


@pytest.fixture
def isolated(workspace):
    """``isolated(parameters, stop)``: the step as an engine runs it, in a child that is gone afterwards."""
    run = MissionRun("m", "1.0", "run-1", datetime.now(UTC), str(workspace.root))
    runtime = StepRuntime(ExecutionContext(run))

    def run_isolated(parameters, stop):
        step = PlannedStep(
            "step", "step", StepType.PROCESS_START, position=0, parameters=parameters, timeout_seconds=60
        )
        return run_step(step, runtime, stop=stop)

    yield run_isolated
    runtime.fork_server.close()
    end_owned_processes(workspace.root, "run-1", grace_seconds=0)


class TestIsolated:
    def test_survives_its_step(self, isolated):
        """The process outlives the child that started it, and the server that forked the child."""
        result = isolated({"command": sys.executable, "args": ["-c", STAY]}, StopToken(60))
        assert result.error is None
        assert lives(result.output["pid"])

    def test_stopped_half_way(self, isolated, workspace):
        """When the step is stopped while it waits, the process does not outlive it."""
        script = f"import os; print(os.getpid(), flush=True); {STAY}"
        with StopToken(60) as stop:
            log = workspace.root / "log"

            def cancel_when_started():
                deadline = time.monotonic() + 30
                while (not log.exists() or "up" not in log.read_text()) and time.monotonic() < deadline:
                    time.sleep(0.01)
                stop.cancel("enough")

            threading.Thread(target=cancel_when_started).start()
            result = isolated(
                {
                    "command": sys.executable,
                    "args": ["-u", "-c", script],
                    "ready_text": "never",
                    "ready_timeout": 60,
                    "stdout_file": "log",
                },
                stop,
            )
        assert result.error == "enough"
        assert gone(int(log.read_text().split()[0]))
