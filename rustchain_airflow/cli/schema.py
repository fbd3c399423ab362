"""``schema``: the JSON Schema of mission files."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> int:
    """Print the JSON Schema of mission files, for editors.

    \b
      rustchain-airflow schema > mission.schema.json
      # yaml-language-server: $schema=mission.schema.json
    """
    from rustchain_airflow.check.schema import mission_schema

    click.echo(json.dumps(mission_schema(), indent=2, ensure_ascii=False))
    return 0
