"""noop: it does nothing, and says what it was given."""

from __future__ import annotations

import logging

import pytest


def test_message_is_logged(run, caplog):
    """The message appears in the step's log."""
    with caplog.at_level(logging.INFO, "rustchain_airflow.step"):
        assert run("noop", {"message": "100% there"})["message"] == "100% there"
    assert "100% there" in caplog.messages


def test_other_keys_are_echoed(run):
    """Every other parameter comes back, with its type, whatever its name."""
    given = {"count": 3, "nested": {"a": [1, None]}, "copy": "x", "model_config": True}
    assert run("noop", given) == {"message": "", "parameters": given}


@pytest.mark.parametrize(("message", "text"), [(5, "5"), (True, "true"), (1.5, "1.5")])
def test_message_from_a_value(run, message, text):
    """A reference to a number or a boolean may be the message."""
    assert run("noop", {"message": message})["message"] == text
