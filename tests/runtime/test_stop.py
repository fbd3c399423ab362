"""StopToken: deadlines and cancellations, and who hears of them."""

from __future__ import annotations

import math
import select
import threading

import pytest

from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.steps.sdk import StepCancelled, StepTimedOut


def test_a_fresh_token_stops_nothing():
    """Without a deadline and a cancellation there is all the time in the world."""
    token = StopToken()
    assert (token.remaining(), token.stopped, token.reason, token.error()) == (math.inf, False, None, None)


def test_deadline():
    """A deadline that has passed is a time-out, in the words of semantics §5.3."""
    token = StopToken(0)
    assert (token.remaining(), token.stopped, token.reason) == (0, True, None)
    with pytest.raises(StepTimedOut, match=r"^timed out after 0 s$"):
        token.check()


def test_cancellation():
    """A cancellation stops at once, whatever time was left, and its first reason counts."""
    token = StopToken(1000)
    token.cancel("first")
    token.cancel("second")
    assert (token.remaining(), token.reason) == (0, "first")
    with pytest.raises(StepCancelled, match=r"^first$"):
        token.check()


def test_parent_cancelled():
    """What cancels the parent cancels all below it, and nothing above or beside."""
    parent = StopToken()
    with StopToken(1000, parent=parent) as child, StopToken(1000, parent=parent) as sibling:
        sibling.cancel("only me")
        assert not child.stopped
        assert not parent.stopped
        parent.cancel("all")
        assert str(child.error()) == "all"
        assert str(sibling.error()) == "only me"


def test_parent_timed_out():
    """The parent's deadline is a cancellation for the child, in the parent's words."""
    parent = StopToken(0, message="mission timed out after 9 s")
    with StopToken(1000, parent=parent) as child:
        assert child.remaining() == 0
        error = child.error()
    assert isinstance(error, StepCancelled)
    assert str(error) == "mission timed out after 9 s"


def test_waking():
    """A thread that waits on descriptors is woken by a cancellation at a parent, in another thread."""
    parent = StopToken()
    with StopToken(1000, parent=parent) as child, child.waking() as descriptor:
        assert select.select([descriptor], [], [], 0)[0] == []
        canceller = threading.Thread(target=parent.cancel, args=("now",))
        canceller.start()
        assert select.select([descriptor], [], [], 30)[0] == [descriptor]
        canceller.join()


def test_waking_too_late():
    """Who starts to wait after the cancellation is woken at once."""
    token = StopToken()
    token.cancel("before")
    with token.waking() as descriptor:
        assert select.select([descriptor], [], [], 0)[0] == [descriptor]


def test_nobody_is_told_after_leaving():
    """Callbacks that were removed, and tokens that were closed, hear nothing more and are not kept."""
    heard: list[str] = []
    parent = StopToken()
    key = parent.add_callback(lambda: heard.append("removed"))
    parent.remove_callback(key)
    with StopToken(parent=parent) as child:
        child.add_callback(lambda: heard.append("closed"))
    parent.cancel("done")
    assert heard == []
