"""One attempt of a step: validated, guarded, run and masked."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.isolation import ForkServer
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.safety.policy import Policy
from rustchain_airflow.safety.secrets import Secrets, secret_values
from rustchain_airflow.step_type import StepType

ENVIRONMENT = {"API_TOKEN": "s3cr3t-value", "PATH": "/usr/bin:/bin", "AIRFLOW__CORE__FERNET_KEY": "fernet-key-value"}


def run(tmp_path: Path, step_type: str, parameters: dict[str, Any], *, policy: Policy | None = None) -> StepResult:
    context = ExecutionContext(
        MissionRun("m", "1.0", "r", datetime.now(UTC), str(tmp_path)),
        environment=ENVIRONMENT,
        secrets=Secrets(secret_values(ENVIRONMENT)),
    )
    step = PlannedStep("s", "S", StepType(step_type), 0, parameters)
    with ForkServer() as fork_server, StopToken(20) as stop:
        return run_step(step, StepRuntime(context, policy or Policy(), fork_server), stop=stop)


@pytest.mark.parametrize(
    ("step_type", "parameters"),
    [
        ("noop", {"message": "{{ env.API_TOKEN }}"}),
        ("command", {"command": "sh", "args": ["-c", "echo $API_TOKEN; echo $API_TOKEN >&2"]}),
        ("command", {"command": "sh", "args": ["-c", "echo $API_TOKEN; exit 3"]}),
        ("read_file", {"path": "{{ env.API_TOKEN }}"}),
        ("list_directory", {"path": "{{ env.API_TOKEN }}"}),
    ],
)
def test_secrets_are_masked(tmp_path: Path, step_type: str, parameters: dict[str, Any]) -> None:
    """A secret-looking environment value appears in no output and no error, isolated or not (§8.4)."""
    result = run(tmp_path, step_type, parameters)
    assert "s3cr3t" not in str(result.to_json())
    assert "***" in str(result.to_json())


def test_secrets_in_files_are_the_files_own(tmp_path: Path) -> None:
    """Masking is for what is shown: a file that a step writes holds the value."""
    run(tmp_path, "create_file", {"path": "token.txt", "content": "{{ env.API_TOKEN }}"})
    assert (tmp_path / "token.txt").read_text() == "s3cr3t-value"


def test_logs_show_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Log messages of a step are masked, their arguments included."""
    with caplog.at_level(logging.INFO, logger="rustchain_airflow.step"):
        run(tmp_path, "noop", {"message": "token is {{ env.API_TOKEN }}"})
    assert "s: token is ***" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_airflow_variables_are_refused(tmp_path: Path) -> None:
    """Airflow's own settings can be neither referred to nor seen by programs (semantics §8.4)."""
    refused = run(tmp_path, "noop", {"message": "{{ env.AIRFLOW__CORE__FERNET_KEY }}"})
    assert refused.status == "Failed"
    assert not refused.retryable
    shown = run(tmp_path, "command", {"command": "env"})
    assert "AIRFLOW__" not in str(shown.output)


def test_an_output_beyond_the_policy_is_a_failure(tmp_path: Path) -> None:
    """A large output is refused with its size, never cut silently (semantics §10.6)."""
    result = run(tmp_path, "noop", {"message": "x" * 2000}, policy=Policy(max_output_bytes=1000))
    assert result.status == "Failed"
    assert result.error is not None
    assert "more than the 1000 that the policy allows" in result.error


@pytest.mark.parametrize(
    ("step_type", "parameters", "error"),
    [
        ("llm", {"prompt": "x"}, 'step type "llm" is not available yet'),
        ("create_file", {}, "invalid parameters: path: field required"),
        ("create_file", {"path": "../x"}, 'path "../x" leaves the workspace'),
        ("create_file", {"path": "/etc/x"}, "/etc/x"),
        ("read_file", {"path": "x", "max_bytes": "many"}, "invalid parameters: max_bytes"),
    ],
)
def test_refusals(tmp_path: Path, step_type: str, parameters: dict[str, Any], error: str) -> None:
    """What can never work is Failed, not retried, and says why in one line."""
    result = run(tmp_path, step_type, parameters)
    assert result.status == "Failed"
    assert not result.retryable
    assert result.error is not None
    assert error in result.error
    assert "\n" not in result.error


def test_numbers_and_booleans_as_text_are_read(tmp_path: Path) -> None:
    """ "3" and "true" are accepted where a number and a boolean are due."""
    (tmp_path / "a.txt").write_text("abc")
    assert run(tmp_path, "read_file", {"path": "a.txt", "max_bytes": "3"}).status == "Success"
    assert run(tmp_path, "create_file", {"path": "a.txt", "overwrite": "false"}).status == "Failed"
