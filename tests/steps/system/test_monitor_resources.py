"""monitor_resources."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused

BUSY = "print('up', flush=True)\nwhile True: pass"


def test_measures(run, workspace):
    """Without parameters: one sample, over one interval, of the machine and the workspace's disk."""
    output = run("monitor_resources", {"interval_ms": 20})
    assert len(output["samples"]) == 1
    assert output["memory"]["total"] == psutil.virtual_memory().total
    assert 0 < output["memory"]["available"] <= output["memory"]["total"]
    assert output["disk"]["total"] == psutil.disk_usage(str(workspace.root)).total
    assert len(output["load"]) == 3
    assert output["process"] is None
    assert output["exceeded"] == []
    assert set(output["network"]) == {"bytes_sent", "bytes_received", "packets_sent", "packets_received"}


@pytest.mark.parametrize(
    ("interval", "duration", "count"), [(20, 0, 1), (20, 0.1, 5), (20, 0.11, 6), (30, 0.03, 1), ("20", "0.04", 2)]
)
def test_samples(run, interval, duration, count):
    """A sample each interval, for the whole duration; cpu_percent is their mean."""
    output = run("monitor_resources", {"interval_ms": interval, "duration_seconds": duration})
    assert len(output["samples"]) == count
    mean = sum(sample["cpu_percent"] for sample in output["samples"]) / count
    assert output["cpu_percent"] == pytest.approx(mean, abs=0.01)
    assert [sample["at"] for sample in output["samples"]] == sorted(sample["at"] for sample in output["samples"])


@pytest.fixture
def busy():
    """A process that uses as much of one processor as it gets."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_first_sample_is_true(run, busy):
    """The first sample measures its own interval: a busy machine and a busy process are not shown as idle."""
    output = run("monitor_resources", {"interval_ms": 300, "pid": busy.pid})
    (sample,) = output["samples"]
    assert sample["cpu_percent"] > 5
    assert sample["process_cpu_percent"] > 5


def test_process(run, busy):
    """A process is measured beside the machine."""
    process = run("monitor_resources", {"interval_ms": 50, "pid": busy.pid})["process"]
    assert process["running"] is True
    assert process["pid"] == busy.pid
    assert process["memory"] > 1_000_000
    assert process["threads"] == 1


def test_process_that_ends(run):
    """A process that ends meanwhile is reported as no longer running, zombie or not."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    watched = psutil.Process(process.pid)
    assert watched.is_running()
    process.stdin.close()
    while watched.status() != psutil.STATUS_ZOMBIE:
        os.sched_yield()
    output = run("monitor_resources", {"interval_ms": 20, "pid": process.pid})
    process.wait()
    assert output["process"]["running"] is False
    assert output["samples"][0]["process_cpu_percent"] is None


def test_no_such_process(run):
    """A pid that nobody has is a failure."""
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(StepError, match=rf"no process with pid {process.pid}"):
        run("monitor_resources", {"interval_ms": 20, "pid": process.pid})


@pytest.mark.parametrize("metric", ["memory_percent", "disk_percent"])
def test_thresholds(run, metric):
    """A crossed threshold fails the step with all it measured, or is told where that is not wanted."""
    with pytest.raises(StepError, match=rf"thresholds crossed: {metric} [0-9.]+ > 0.001") as failed:
        run("monitor_resources", {"interval_ms": 20, "thresholds": {metric: 0.001}})
    (crossed,) = failed.value.output.exceeded
    assert (crossed.metric, crossed.threshold) == (metric, 0.001)
    assert crossed.value > 0.001
    output = run("monitor_resources", {"interval_ms": 20, "thresholds": {metric: "0.001"}, "fail_on_exceeded": False})
    assert [each["metric"] for each in output["exceeded"]] == [metric]


def test_cpu_threshold_looks_at_the_peak(run, busy):
    """A threshold is crossed by any one sample."""
    with pytest.raises(StepError, match=r"cpu_percent") as failed:
        run("monitor_resources", {"interval_ms": 100, "duration_seconds": 0.3, "thresholds": {"cpu_percent": 1}})
    output = failed.value.output
    assert output.exceeded[0].value == max(sample.cpu_percent for sample in output.samples)


def test_thresholds_that_hold(run):
    """What is not above a threshold does not cross it."""
    thresholds = {"cpu_percent": 100, "memory_percent": 100, "disk_percent": 100}
    assert run("monitor_resources", {"interval_ms": 20, "thresholds": thresholds})["exceeded"] == []


def test_disk_of_a_path(run, workspace):
    """path says whose disk; it is the guard's business like every other."""
    assert run("monitor_resources", {"interval_ms": 20, "path": "."})["disk"]["total"] > 0
    with pytest.raises(StepRefused):
        run("monitor_resources", {"interval_ms": 20, "path": "/proc"})
    with pytest.raises(StepError, match=r"cannot measure"):
        run("monitor_resources", {"interval_ms": 20, "path": "missing"})


def test_too_many_samples(run):
    """More samples than an output can hold are refused before measuring."""
    with pytest.raises(StepRefused, match=r"larger interval_ms"):
        run("monitor_resources", {"interval_ms": 10, "duration_seconds": 3600})


@pytest.mark.parametrize(
    "parameters",
    [{"interval_ms": 0}, {"pid": 0}, {"duration_seconds": -1}, {"thresholds": {"cpu_percent": 101}}, {"thresholds": 5}],
)
def test_parameters(run, parameters):
    """Nonsense is refused."""
    with pytest.raises(ValidationError):
        run("monitor_resources", parameters)
