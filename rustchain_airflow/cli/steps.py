"""``steps``: what step types there are, and what each takes and gives."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click

from rustchain_airflow.step_type import Family, StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.reference import describe


@click.command("steps")
@click.argument("step_type", required=False, metavar="[TYPE]")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(step_type: str | None, output: str) -> int:
    """List the step types, or show one of them.

    \b
      rustchain-airflow steps
      rustchain-airflow steps create_file
    """
    if step_type is not None and step_type not in StepType._value2member_map_:
        near = get_close_matches(step_type, [known.value for known in StepType], n=1)
        raise click.UsageError(f'no step type "{step_type}"' + (f'; did you mean "{near[0]}"?' if near else ""))
    chosen = [StepType(step_type)] if step_type else list(StepType)
    if output == "json":
        click.echo(json.dumps([describe(name) for name in chosen], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_page(chosen[0]) if step_type else _list()))
    return 0


def _list() -> Iterator[str]:
    width = max(len(name) for name in StepType)
    for family in Family:
        yield family.value
        for name in StepType:
            if name.family is family:
                summary = catalog.load(name).summary if catalog.available(name) else "(not available yet)"
                yield f"  {name.value:<{width}}  {summary}"


def _page(step_type: StepType) -> Iterator[str]:
    page = describe(step_type)
    yield f"{page['step_type']} ({page['family']})"
    if not page["available"]:
        yield "Not available yet in this version of rustchain-airflow."
        return
    yield ""
    yield from page["documentation"].splitlines()
    for title, fields in (("Parameters", page["parameters"]), ("Output", page["output"])):
        yield ""
        yield title
        for name, field in fields.items():
            yield from _field(name, field)


def _field(name: str, field: dict[str, Any]) -> Iterator[str]:
    facts = [field["type"]]
    if field.get("required"):
        facts.append("required")
    elif "default" in field and field["default"] is not None:
        facts.append(f"default {json.dumps(field['default'], ensure_ascii=False)}")
    if field.get("aliases"):
        facts.append(f"also {', '.join(field['aliases'])}")
    yield f"  {name}  ({'; '.join(facts)})"
    if field.get("description"):
        yield textwrap.indent(textwrap.fill(field["description"], 100), "      ")
