"""RC403: shell syntax where no shell reads it."""

from __future__ import annotations

from collections.abc import Iterator

from rustchain_airflow.check.draft import Draft
from rustchain_airflow.check.rule import Found, rule
from rustchain_airflow.step_type import StepType


@rule("RC403", "shell-syntax")
def shell_syntax(draft: Draft) -> Iterator[Found]:
    """A command without ``args`` holds pipes, redirects, ``&&`` or substitutions, which only a shell understands.

    Commands run without a shell; ``shell: true`` asks for one (semantics §8.2).
    """
    for step in draft.steps:
        parameters = step.step.parameters
        command = parameters.get("command")
        if (
            step.step.step_type is not StepType.COMMAND
            or not isinstance(command, str)
            or parameters.get("args") is not None
            or parameters.get("shell") not in (None, False, "false")
        ):
            continue
        from rustchain_airflow.steps.control.shell_words import shell_syntax as syntax_in

        if (syntax := syntax_in(command)) is not None:
            yield Found(
                (*step.path, "parameters", "command"),
                f'"{syntax}" means something only to a shell, and this command runs without one',
                "add shell: true, or write the program and its args",
            )
