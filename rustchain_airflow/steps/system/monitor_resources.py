"""Measure the use of processor, memory, disk and network."""

from __future__ import annotations

import math
import os
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rustchain_airflow.steps.sdk import (
    Options,
    Output,
    Parameters,
    ReadPath,
    StepContext,
    StepError,
    StepRefused,
    require,
    step,
)

MAX_SAMPLES = 10_000

Metric = Literal["cpu_percent", "memory_percent", "disk_percent"]


class Thresholds(Options):
    cpu_percent: float | None = Field(None, ge=0, le=100, description="Most of all processors together.")
    memory_percent: float | None = Field(None, ge=0, le=100, description="Most of the memory.")
    disk_percent: float | None = Field(None, ge=0, le=100, description="Most of the disk that holds path.")


class MonitorResourcesParameters(Parameters):
    interval_ms: int = Field(500, ge=10, description="Milliseconds between two samples.")
    duration_seconds: float | None = Field(None, ge=0, description="How long to measure; default one interval.")
    pid: int | None = Field(None, ge=1, description="A process to measure as well.")
    path: ReadPath = Field(".", description="Whose disk to measure.")
    thresholds: Thresholds = Field(
        default_factory=Thresholds, description="What must not be crossed: cpu_percent, memory_percent, disk_percent."
    )
    fail_on_exceeded: bool = Field(True, description="Fail when a threshold was crossed in any sample.")


class Sample(BaseModel):
    """One measurement."""

    at: str = Field(description="When, UTC.")
    cpu_percent: float
    memory_percent: float
    disk_percent: float
    process_cpu_percent: float | None = Field(description="Of the process; above 100 on several processors.")
    process_memory: int | None = Field(description="Resident bytes of the process.")


class Memory(BaseModel):
    """The machine's memory in bytes, at the end."""

    total: int
    used: int
    available: int
    percent: float


class Disk(BaseModel):
    """The disk that holds ``path``, in bytes, at the end."""

    total: int
    used: int
    free: int
    percent: float


class Network(BaseModel):
    """Traffic of all interfaces while it was measured."""

    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int


class MeasuredProcess(BaseModel):
    """The process that was measured."""

    pid: int
    name: str
    running: bool = Field(description="Whether it still ran at the end.")
    cpu_percent: float = Field(description="Mean; above 100 on several processors.")
    memory: int = Field(description="Resident bytes, the most that was seen.")
    memory_percent: float
    threads: int


class Exceeded(BaseModel):
    """A threshold that was crossed."""

    metric: Metric
    threshold: float
    value: float = Field(description="The most that was measured.")


class MonitorResourcesOutput(Output):
    main: ClassVar[str | None] = "cpu_percent"

    cpu_percent: float = Field(description="Of all processors together, mean over the samples.")
    memory: Memory
    disk: Disk
    load: list[float] | None = Field(description="Mean run queue over 1, 5 and 15 minutes, where the system has it.")
    network: Network
    process: MeasuredProcess | None = Field(description="The process pid; null without one.")
    samples: list[Sample] = Field(description="Every measurement, in order.")
    exceeded: list[Exceeded] = Field(description="The thresholds that were crossed.")


@step(idempotent=True)
def monitor_resources(parameters: MonitorResourcesParameters, context: StepContext) -> MonitorResourcesOutput:
    """Measure the use of processor, memory, disk and network, and optionally of one process.

    Measures for ``duration_seconds``, a sample each ``interval_ms``; each covers the interval before it, so that the
    first is as true as the last. A threshold that any sample crosses fails the step, with everything measured in its
    output, unless ``fail_on_exceeded`` is false. A process that ends meanwhile is reported as no longer running. In
    a container, memory and processor are those of the machine.
    """
    psutil = require("psutil", "system")
    interval = parameters.interval_ms / 1000
    count = max(1, math.ceil((parameters.duration_seconds or 0) / interval - 1e-9))
    if count > MAX_SAMPLES:
        raise StepRefused(f"{count} samples are more than {MAX_SAMPLES}; give a larger interval_ms")
    folder = os.fspath(context.workspace.locate(parameters.path))
    watched = _Watched(psutil, parameters.pid) if parameters.pid is not None else None
    samples: list[Sample] = []
    try:
        before = psutil.net_io_counters(nowrap=True)
        psutil.cpu_percent()  # the first call has nothing to compare with
        due = time.monotonic()
        for _ in range(count):
            due += interval
            time.sleep(max(0.0, due - time.monotonic()))
            samples.append(_sample(psutil, folder, watched))
        output = MonitorResourcesOutput(
            cpu_percent=_mean(sample.cpu_percent for sample in samples),
            memory=_memory(psutil),
            disk=_disk(psutil, folder),
            load=list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
            network=_traffic(before, psutil.net_io_counters(nowrap=True)),
            process=watched.measured(samples) if watched else None,
            samples=samples,
            exceeded=_exceeded(parameters.thresholds, samples),
        )
    except (psutil.Error, OSError) as error:
        raise StepError(f"cannot measure: {error}") from error
    if output.exceeded and parameters.fail_on_exceeded:
        crossed = ", ".join(f"{each.metric} {each.value:g} > {each.threshold:g}" for each in output.exceeded)
        raise StepError(f"thresholds crossed: {crossed}", output=output)
    return output


class _Watched:
    """The process that is measured, as long as it runs."""

    def __init__(self, psutil: Any, pid: int) -> None:
        self._psutil = psutil
        try:
            self._process = psutil.Process(pid)
            self._pid = pid
            self._name: str = self._process.name()
            self._process.cpu_percent()
        except psutil.NoSuchProcess as error:
            raise StepError(f"there is no process with pid {pid}") from error
        except psutil.AccessDenied as error:
            raise StepError(f"process {pid} may not be looked at: permission denied") from error
        self._running = True
        self._threads = 0
        self._memory_percent = 0.0

    def sample(self) -> tuple[float | None, int | None]:
        """Percent of one processor, and resident bytes; None once it has ended."""
        try:
            if not self._running or self._process.status() == self._psutil.STATUS_ZOMBIE:
                raise self._psutil.NoSuchProcess(self._pid)
            with self._process.oneshot():
                percent: float = self._process.cpu_percent()
                memory: int = self._process.memory_info().rss
                self._memory_percent = max(self._memory_percent, self._process.memory_percent())
                self._threads = self._process.num_threads()
        except self._psutil.NoSuchProcess:
            self._running = False
            return None, None
        return percent, memory

    def measured(self, samples: list[Sample]) -> MeasuredProcess:
        return MeasuredProcess(
            pid=self._pid,
            name=self._name,
            running=self._running,
            cpu_percent=_mean(each.process_cpu_percent for each in samples if each.process_cpu_percent is not None),
            memory=max((each.process_memory for each in samples if each.process_memory is not None), default=0),
            memory_percent=round(self._memory_percent, 2),
            threads=self._threads,
        )


def _sample(psutil: Any, folder: str, watched: _Watched | None) -> Sample:
    percent, memory = watched.sample() if watched else (None, None)
    return Sample(
        at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        cpu_percent=psutil.cpu_percent(),
        memory_percent=psutil.virtual_memory().percent,
        disk_percent=psutil.disk_usage(folder).percent,
        process_cpu_percent=percent,
        process_memory=memory,
    )


def _memory(psutil: Any) -> Memory:
    found = psutil.virtual_memory()
    return Memory(total=found.total, used=found.used, available=found.available, percent=found.percent)


def _disk(psutil: Any, folder: str) -> Disk:
    found = psutil.disk_usage(folder)
    return Disk(total=found.total, used=found.used, free=found.free, percent=found.percent)


def _traffic(before: Any, after: Any) -> Network:
    if before is None or after is None:
        return Network(bytes_sent=0, bytes_received=0, packets_sent=0, packets_received=0)
    return Network(
        bytes_sent=after.bytes_sent - before.bytes_sent,
        bytes_received=after.bytes_recv - before.bytes_recv,
        packets_sent=after.packets_sent - before.packets_sent,
        packets_received=after.packets_recv - before.packets_recv,
    )


def _exceeded(thresholds: Thresholds, samples: list[Sample]) -> list[Exceeded]:
    found = []
    metrics: tuple[Metric, ...] = ("cpu_percent", "memory_percent", "disk_percent")
    for metric in metrics:
        threshold: float | None = getattr(thresholds, metric)
        most: float = max(getattr(sample, metric) for sample in samples)
        if threshold is not None and most > threshold:
            found.append(Exceeded(metric=metric, threshold=threshold, value=most))
    return found


def _mean(values: Any) -> float:
    listed = list(values)
    return round(sum(listed) / len(listed), 2) if listed else 0.0
