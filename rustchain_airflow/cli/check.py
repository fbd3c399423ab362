"""``check``: all findings of all missions, without running anything."""

from __future__ import annotations

import click

from rustchain_airflow.cli.findings import check_argument, exit_code_for, mission_files, show
from rustchain_airflow.diagnostics import Diagnostic, Severity


@click.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--strict", is_flag=True, help="Unknown keys and parameters are errors.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(paths: tuple[str, ...], strict: bool, output: str) -> int:
    """Check missions without running them.

    \b
      rustchain-airflow check mission.yaml
      rustchain-airflow check --strict --output json missions/

    PATH is a file, a folder, or - for standard input. All findings of a file are shown at once. The exit code is 0
    when no mission has an error.
    """
    found: list[Diagnostic] = []
    files = 0
    for path in mission_files(paths):
        files += 1
        found.extend(check_argument(path, strict=strict).diagnostics)
    if output == "json":
        from rustchain_airflow.diagnostics import json as printer

        click.echo(printer.render(found), nl=False)
    else:
        show(found)
        if not any(finding.severity is Severity.ERROR for finding in found):
            click.echo(f"{files} mission{'s' if files != 1 else ''} checked, no errors")
    return int(exit_code_for(found))
