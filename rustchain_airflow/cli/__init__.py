"""The command line: one module a command, each imported when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any, Final, NoReturn

import click

COMMANDS = {
    "run-local": "Run a mission on this machine, without Airflow.",
    "compile": "Compile missions to Airflow DAG files.",
    "check": "Check missions without running them.",
    "steps": "List the step types, or show one of them.",
    "schema": "Print the JSON Schema of mission files, for editors.",
}
"""Command to what `--help` says of it, so that listing commands imports none."""

ALIASES = {"run": "run-local", "validate": "check"}


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported on use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if not name.startswith("-") and ALIASES.get(name, name) not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
            context.fail(f'no command "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 completed, 1 failed, 2 invalid mission or usage, 3 refused by safety, 130 cancelled.",
)
@click.version_option(package_name="rustchain-airflow", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug logs.")
def cli(debug: bool) -> None:
    """Missions in YAML: run them here, or compile them to Airflow DAGs.

    \b
      rustchain-airflow run-local mission.yaml
      rustchain-airflow compile missions/ -o dags/
    """
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)


_OWN_SETTINGS: Final = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""What this process sets for itself: pydantic would look for plugins in the metadata of every installed package."""

_set_here: Final[set[str]] = set()


def given_environment() -> dict[str, str]:
    """The environment this program was started with: what the steps of a mission see."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the ``rustchain-airflow`` program; ends the process with semantics §6.4's exit code."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    gc.disable()  # modules and models are here to stay: looking for garbage among them is a tenth of a check
    _set_here.update(_OWN_SETTINGS.keys() - os.environ.keys())
    os.environ.update({name: _OWN_SETTINGS[name] for name in _set_here})
    try:
        code: Any = cli.main(args=arguments, prog_name="rustchain-airflow", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"error: {type(error).__name__}: {error}\nfor the traceback: rustchain-airflow --debug ...", err=True
        )
        sys.exit(1)
    finally:
        gc.freeze()  # the interpreter collects once more when it ends, whatever was disabled
