"""process_kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused

STAY = "import signal; print('up'); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"
POLITE = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up')\nwhile True: signal.pause()"
)
FAMILY = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAY!r}]); print('up'); {STAY}"


def lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def record(workspace, name="step"):
    return next(workspace.root.glob(f".rustchain/processes/*/{name}.json"))


def change(workspace, **changes):
    path = record(workspace)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("by", ["pid", "name"])
def test_kill(run, start, by):
    """A process is ended by its pid or by its name."""
    started = start(STAY, name="server", ready_text="up")
    assert run("process_kill", {by: started[by]}) == {
        "pid": started["pid"],
        "killed": True,
        "signal": "TERM",
        "exit_code": -signal.SIGTERM,
        "already_gone": False,
    }
    assert not lives(started["pid"])


@pytest.mark.parametrize(
    ("script", "parameters", "expected"),
    [
        (POLITE, {}, ("TERM", 7)),
        (DEAF, {"grace_seconds": 0.2}, ("KILL", -9)),
        (DEAF, {"grace_seconds": 0}, ("KILL", -9)),
        (STAY, {"signal": "KILL"}, ("KILL", -9)),
        (STAY, {"signal": "SIGINT"}, ("INT", -2)),
        (STAY, {"signal": "usr1"}, ("USR1", -10)),
        (STAY, {"signal": 1}, ("HUP", -1)),
    ],
)
def test_signals(run, start, script, parameters, expected):
    """The signal is the one asked for, KILL follows after the grace, and the exit code is the process's own."""
    name = start(script, ready_text="up", name="p")["name"]
    output = run("process_kill", {"name": name, **parameters})
    assert (output["signal"], output["exit_code"]) == expected


def test_tree(run, start):
    """With tree, all that the process started ends as well; without, only the process."""
    pid = start(FAMILY, ready_text="up")["pid"]
    child = psutil.Process(pid).children()[0].pid
    assert run("process_kill", {"pid": pid, "tree": False})["killed"] is True
    assert not lives(pid)
    assert lives(child)
    assert run("process_kill", {"pid": pid, "tree": True})["killed"] is True
    assert not lives(child)


def test_already_gone(run, start, workspace):
    """A process that has ended is a success that says so, with its exit code; asking again gives the same."""
    pid = start("import sys; print('bye'); sys.exit(4)")["pid"]
    deadline = time.monotonic() + 20
    while not list(workspace.root.glob(".rustchain/processes/*/step.exit")) and time.monotonic() < deadline:
        time.sleep(0.01)
    expected = {"pid": pid, "killed": False, "signal": None, "exit_code": 4, "already_gone": True}
    assert run("process_kill", {"name": "step"}) == expected
    assert run("process_kill", {"pid": pid}) == expected


def test_from_another_process(run, start, workspace):
    """The record on disk is all that another worker needs to end the process."""
    pid = start(STAY, name="server", ready_text="up")["pid"]
    script = """
import logging, os, sys
from pathlib import Path
from types import SimpleNamespace
from rustchain_airflow.safety.paths import GuardedWorkspace
from rustchain_airflow.steps import catalog
kill = catalog.load("process_kill")
context = SimpleNamespace(workspace=GuardedWorkspace(Path(sys.argv[1])), run_id="run-1")
print(kill.run(kill.parameters.model_validate({"name": "server"}), context).killed)
"""
    said = subprocess.run(
        [sys.executable, "-c", script, str(workspace.root)], capture_output=True, text=True, check=True
    )
    assert said.stdout == "True\n"
    assert not lives(pid)


@pytest.mark.parametrize("asked", [{"name": "nobody"}, {"pid": 1}, {"pid": os.getpid()}, {"name": "../x"}])
def test_not_ours(run, start, asked):
    """A process the mission did not start is refused, and the ones it did are named."""
    pid = start(STAY, name="mine")["pid"]
    with pytest.raises(StepRefused, match=rf"started no process .*it started: mine \({pid}\)"):
        run("process_kill", asked)


def test_of_another_run(run, start, context):
    """Another run of the mission in the same workspace is another mission."""
    pid = start(STAY, name="mine")["pid"]
    context.run_id = "run-2"
    with pytest.raises(StepRefused, match=r"started no process"):
        run("process_kill", {"name": "mine"})
    context.run_id = "run-1"
    assert lives(pid)


@pytest.fixture
def bystander():
    """A process that has nothing to do with the mission."""
    process = subprocess.Popen([sys.executable, "-c", STAY], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_pid_taken_over(run, start, workspace, bystander):
    """A pid that now belongs to another process is not signalled."""
    start(STAY, ready_text="up")
    change(workspace, pid=bystander.pid)
    run("process_kill", {"name": "step", "tree": False, "grace_seconds": 0})
    assert bystander.poll() is None


def test_made_up_record(run, start, workspace, bystander):
    """A record that somebody made up, true in every number, leads to no process the mission did not start."""
    from rustchain_airflow.steps.system.registry import born

    start(STAY, ready_text="up")
    change(
        workspace,
        pid=bystander.pid,
        born=born(bystander.pid),
        keeper_pid=os.getpid(),
        keeper_born=born(os.getpid()),
    )
    output = run("process_kill", {"name": "step", "grace_seconds": 0})
    assert output["already_gone"] is True
    assert bystander.poll() is None


def test_another_host(run, start, workspace):
    """On another host the step is refused, and says which."""
    start(STAY)
    machine = json.loads(record(workspace).read_text())["machine"]
    change(workspace, machine={**machine, "host": "worker-7"})
    with pytest.raises(StepRefused, match=r'started on host "worker-7".*same queue'):
        run("process_kill", {"name": "step"})
    change(workspace, machine={**machine, "pid_namespace": "pid:[1]"})
    with pytest.raises(StepRefused, match=r"another container of host"):
        run("process_kill", {"name": "step"})


def test_host_restarted(run, start, workspace):
    """After a restart of its host a process is gone."""
    start(STAY)
    machine = json.loads(record(workspace).read_text())["machine"]
    change(workspace, machine={**machine, "boot": "earlier"})
    assert run("process_kill", {"name": "step"})["already_gone"] is True


def test_keeper_killed(run, start, workspace):
    """A process does not outlive its keeper; how it ended is then unknown."""
    pid = start(STAY, ready_text="up")["pid"]
    keeper = json.loads(record(workspace).read_text())["keeper_pid"]
    os.kill(keeper, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not lives(pid)
    output = run("process_kill", {"name": "step"})
    assert (output["already_gone"], output["exit_code"]) == (True, None)


def test_damaged_record(run, start, workspace):
    """A record that cannot be read is a failure, not a process that is gone."""
    start(STAY)
    record(workspace).write_text("[]")
    with pytest.raises(StepError, match=r"is not a record of a process"):
        run("process_kill", {"name": "step"})


@pytest.mark.parametrize("parameters", [{}, {"pid": 5, "name": "x"}, {"pid": 0}, {"name": "x", "grace_seconds": -1}])
def test_parameters(run, parameters):
    """One of pid and name says which process."""
    with pytest.raises(ValidationError):
        run("process_kill", parameters)


@pytest.mark.parametrize("name", ["STOP", "NONSENSE", 19, 99])
def test_signals_that_end_nothing(run, name):
    """A signal that does not end a process is refused."""
    with pytest.raises(StepRefused, match=r"is not one of TERM"):
        run("process_kill", {"name": "x", "signal": name})
