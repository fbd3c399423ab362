"""When a step has to stop: its deadline, and the word of whoever cancels it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rustchain_airflow.semantics import timed_out
from rustchain_airflow.steps.sdk import StepCancelled, StepError, StepTimedOut


class StopToken:
    """Tells the work of one attempt to stop, at a deadline or when another thread says so.

    A token may hang on a parent: what stops the parent stops it too, as a cancellation. So a mission
    has one token for SIGINT and its own time limit, and each attempt a token below it. A token below
    a parent is closed (or used in a ``with`` block) when its attempt has ended. All methods may be
    called from any thread, `cancel` from a signal handler too.
    """

    def __init__(
        self, timeout_seconds: float | None = None, *, parent: StopToken | None = None, message: str | None = None
    ) -> None:
        """``timeout_seconds`` counts from now; ``message`` is said instead of ``timed out after N s``."""
        self.timeout_seconds = timeout_seconds
        self._deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._message = message
        self._parent = parent
        self._reason: str | None = None
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_key = 0
        self._lock = threading.RLock()  # a signal handler may cancel while this very thread holds it
        self._key_at_parent = parent.add_callback(self._wake) if parent else None

    def cancel(self, reason: str) -> None:
        """Stop now. The first reason given is the one that counts."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
        self._wake()

    @property
    def reason(self) -> str | None:
        """Why it was cancelled, here or at a parent; None when it was not. A deadline is no cancellation."""
        if self._reason is not None:
            return self._reason
        return self._parent.reason if self._parent else None

    @property
    def stopped(self) -> bool:
        return self.remaining() <= 0

    def remaining(self) -> float:
        """Seconds left, never below 0; infinite without a deadline, 0 once cancelled."""
        if self.reason is not None:
            return 0.0
        left = max(0.0, self._deadline - time.monotonic())
        return min(left, self._parent.remaining()) if self._parent else left

    def error(self) -> StepError | None:
        """How a step that is stopped now fails: StepCancelled or StepTimedOut; None while it may run on."""
        if self._reason is not None:
            return StepCancelled(self._reason)
        if self._parent and (above := self._parent.error()):
            return StepCancelled(str(above))
        if self.timeout_seconds is not None and time.monotonic() >= self._deadline:
            return StepTimedOut(self._message or timed_out(self.timeout_seconds))
        return None

    def check(self) -> None:
        """Raise `error`, if there is one."""
        if error := self.error():
            raise error

    def add_callback(self, callback: Callable[[], None]) -> int:
        """Have a cancellation call this, at once when it has happened already. Deadlines call nothing.

        The callback runs in the cancelling thread, must not block, and never runs after
        `remove_callback` of the key returned here.
        """
        with self._lock:
            self._next_key += 1
            self._callbacks[self._next_key] = callback
            if self.reason is not None:
                callback()
            return self._next_key

    def remove_callback(self, key: int) -> None:
        with self._lock:
            self._callbacks.pop(key, None)

    @contextmanager
    def waking(self) -> Iterator[int]:
        """A file descriptor that becomes readable on cancellation, for waiting on it among others."""
        reader, writer = os.pipe()
        key = self.add_callback(lambda: _write(writer))
        try:
            yield reader
        finally:
            self.remove_callback(key)
            os.close(reader)
            os.close(writer)

    def close(self) -> None:
        """Let go of the parent."""
        if self._parent and self._key_at_parent is not None:
            self._parent.remove_callback(self._key_at_parent)

    def __enter__(self) -> StopToken:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        with self._lock:
            for callback in tuple(self._callbacks.values()):
                callback()


def _write(descriptor: int) -> None:
    os.write(descriptor, b"!")
