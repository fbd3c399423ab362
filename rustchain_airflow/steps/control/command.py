"""Run a program."""

from __future__ import annotations

import signal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rustchain_airflow.steps.control.scalars import Text
from rustchain_airflow.steps.control.shell_words import shell_syntax, split
from rustchain_airflow.steps.sdk import (
    Alias,
    Output,
    Parameters,
    ProcessResult,
    ReadPath,
    RunsAs,
    StepCancelled,
    StepContext,
    StepError,
    StepRefused,
    StepTimedOut,
    step,
)

_LONGEST_ERROR_LINE = 300


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _as_code(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().lstrip("-").isdecimal() else value


_Written = int | str | list[int | str]
ExitCode = Annotated[int, BeforeValidator(_as_code, json_schema_input_type=int | str)]


class CommandParameters(Parameters):
    command: str = Field(
        min_length=1,
        description="The program; a whole command line when args is left out; a script when shell is true.",
    )
    args: list[Text] | None = Field(None, description="Arguments, passed as they are: no shell reads them.")
    shell: bool = Field(False, description="Have sh run the command as a script; args are its $1, $2 …")
    working_dir: Annotated[ReadPath, Alias("working_directory", "cwd")] = Field(
        ".", description="Folder the program starts in."
    )
    environment: Annotated[dict[str, Text], Alias("env")] = Field(
        default_factory=dict, description="Environment variables to add to the step's own."
    )
    stdin: Text | None = Field(None, description="Text for its standard input, which is empty otherwise.")
    timeout: Annotated[float | None, Alias("timeout_seconds")] = Field(
        None, gt=0, description="Seconds one attempt may take: the same as the step's timeout_seconds."
    )
    expected_exit_codes: Annotated[
        list[ExitCode],
        BeforeValidator(_as_list, json_schema_input_type=_Written),
        Alias("expected_exit_code"),
    ] = Field(default=[0], min_length=1, description="Exit codes that mean success.")
    capture: bool = Field(True, description="Keep the output; without, it goes to the step's log line by line.")
    max_output_bytes: int = Field(
        1024 * 1024, ge=0, description="Bytes kept of each of the two streams; what is beyond is dropped."
    )


class CommandOutput(Output):
    main = "stdout"

    command: str = Field(description="The program or script that ran.")
    args: list[str] = Field(description="Its arguments.")
    exit_code: int | None = Field(description="Negative for a signal; null when the step had to stop the program.")
    stdout: str = Field(description="Standard output, as UTF-8; bytes that are not are replaced.")
    stderr: str = Field(description="Standard error, likewise.")
    truncated: bool = Field(description="Whether there was more than max_output_bytes of either.")
    duration_ms: int = Field(description="Time the program ran, in milliseconds.")


@step(runs_as=RunsAs.COMMAND)
def command(parameters: CommandParameters, context: StepContext) -> CommandOutput:
    """Run a program and wait for its end.

    ``command`` and ``args`` go to the program as an argument vector. Without ``args``, a ``command`` with
    blanks is split into words as a shell would split it; if it holds shell syntax (a pipe, ``&&``, a
    redirect, ``$NAME``, ``$()``), it is refused, and says how to go on: quote it, or set ``shell: true``.

    Any exit code outside ``expected_exit_codes`` fails the step; the output is there all the same, so a
    step after a tolerated failure can read it. On timeout the program and all it started are stopped, and
    the output holds what it had written by then. What the program leaves running in the background
    ends with the step: that is what ``process_start`` is for.
    """
    program, args = _vector(parameters)
    try:
        result = context.processes.run(
            [program, *args],
            working_dir=parameters.working_dir,
            environment=parameters.environment,
            stdin=parameters.stdin,
            max_output_bytes=parameters.max_output_bytes,
            shell=parameters.shell,
            capture=parameters.capture,
        )
    except (StepTimedOut, StepCancelled) as stopped:
        if isinstance(stopped.output, dict):
            stopped.output = {"command": program, "args": args, **stopped.output}
        raise
    output = CommandOutput(
        command=program,
        args=args,
        exit_code=result.exit_code,
        stdout=result.stdout,
        stderr=result.stderr,
        truncated=result.truncated,
        duration_ms=result.duration_ms,
    )
    if result.exit_code not in parameters.expected_exit_codes:
        raise StepError(_fault(result), output=output)
    return output


def _vector(parameters: CommandParameters) -> tuple[str, list[str]]:
    if parameters.shell or parameters.args is not None:
        return parameters.command, list(parameters.args or [])
    if (syntax := shell_syntax(parameters.command)) is not None:
        raise StepRefused(
            f'the command holds shell syntax ({syntax}) but no shell reads it: set "shell: true", '
            "or quote it, or give the arguments in args"
        )
    try:
        words = split(parameters.command)
    except ValueError as error:
        raise StepRefused(f"the command cannot be split into words: {str(error).lower()}") from error
    if not words:
        raise StepRefused("the command is empty")
    return words[0], words[1:]


def _fault(result: ProcessResult) -> str:
    fault = f"exit code {result.exit_code}"
    if result.exit_code < 0:
        try:
            fault = f"killed by {signal.Signals(-result.exit_code).name}"
        except ValueError:
            fault = f"killed by signal {-result.exit_code}"
    said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    return f"{fault}: {said[-1][:_LONGEST_ERROR_LINE]}" if said else fault
