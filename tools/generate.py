"""Writes everything that is made from the code; ``--check`` fails when something would change.

python -m tools.generate [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from rustchain_airflow.check import rules
from rustchain_airflow.check.schema import mission_schema
from rustchain_airflow.cli import ALIASES, COMMANDS, cli
from rustchain_airflow.codegen.compile import FAULTS as COMPILE_FAULTS
from rustchain_airflow.codegen.compile import compile_mission
from rustchain_airflow.source import FAULTS as SOURCE_FAULTS
from rustchain_airflow.step_type import Family, StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.reference import describe

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "make generate"


def artefacts() -> Iterator[tuple[str, str]]:
    """Every generated file, as path and text."""
    yield "docs/mission.schema.json", json.dumps(mission_schema(), indent=2, ensure_ascii=False) + "\n"
    yield "docs/cli.md", _cli()
    yield "docs/checks/README.md", _checks()
    for code, slug, page, facts in _rules():
        yield f"docs/checks/{code}.md", f"{_made('the docstring of the rule')}# {code} {slug}\n\n{facts}\n\n{page}\n"
    yield "docs/steps/README.md", _steps()
    for step_type in StepType:
        described = describe(step_type)
        if described["available"]:
            yield f"docs/steps/{step_type.value}.md", _step(described)
    for mission in sorted((ROOT / "tests" / "golden").glob("*.yaml")):
        yield f"tests/golden/{mission.stem}.py", compile_mission(mission)
    yield "README.md", _readme((ROOT / "README.md").read_text(encoding="utf-8"))


def _readme(text: str) -> str:
    """The README with its generated blocks made anew: the DAG of its mission, and the table of step types."""
    mission = re.search(r"```yaml\n(name: .*?)```", text, re.DOTALL)
    assert mission is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mission.yaml")
        file.write_text(mission[1], encoding="utf-8")
        dag = f"```python\n{compile_mission(file)}```"
    for name, block in (("the DAG", dag), ("the step types", _families())):
        opening, closing = f"<!-- {name}, made by `{COMMAND}` -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(opening)
        _, ended, after = rest.partition(closing)
        assert found, f"README.md has no place for {name}"
        assert ended, f"README.md does not say where {name} ends"
        text = f"{before}{opening}{block}\n{closing}{after}"
    return text


def _families() -> str:
    rows = ["| family | step types |", "| --- | --- |"]
    missing = False
    for family in Family:
        names = []
        for step_type in StepType:
            if step_type.family is family:
                is_there = catalog.available(step_type)
                missing = missing or not is_there
                names.append(f"[{step_type.value}](docs/steps/{step_type.value}.md)" if is_there else step_type.value)
        rows.append(f"| {family.value} | {', '.join(names)} |")
    if missing:
        rows.append("\nNames without a link are not available yet: such a step fails, saying so.")
    return "\n".join(rows)


def _made(source: str) -> str:
    return f"<!-- Made from {source} by `{COMMAND}`; do not edit. -->\n\n"


def _rules() -> Iterator[tuple[str, str, str, str]]:
    for code, (slug, page) in SOURCE_FAULTS.items():
        yield code, slug, page, "An error: the file could not be read."
    for rule in rules():
        strict = "; an error under `--strict`" if rule.strict else ""
        yield rule.code, rule.slug, rule.page, f"Severity: {rule.severity.value}{strict}."
    for code, (slug, page) in COMPILE_FAULTS.items():
        yield code, slug, page, "An error, of `compile` and in Airflow; `check` does not look for it."


def _checks() -> str:
    rows = "\n".join(f"| [{code}]({code}.md) | {slug} | {facts} |" for code, slug, _, facts in _rules())
    return (
        f"{_made('the rules')}# Checks\n\nWhat `rustchain-airflow check` looks for, and what `compile` adds. "
        f'Slugs complete the sentence "allow …".\n\n| code | slug | |\n| --- | --- | --- |\n{rows}\n'
    )


def _steps() -> str:
    sections = []
    for family in Family:
        rows = []
        for step_type in StepType:
            if step_type.family is family:
                described = describe(step_type)
                name = f"[{step_type.value}]({step_type.value}.md)" if described["available"] else step_type.value
                rows.append(f"| {name} | {described['summary'] or 'Not available yet.'} |")
        sections.append(f"## {family.value}\n\n| step type | |\n| --- | --- |\n" + "\n".join(rows))
    return f"{_made('the step modules')}# Step types\n\n" + "\n\n".join(sections) + "\n"


def _step(described: dict[str, object]) -> str:
    parameters = described["parameters"]
    output = described["output"]
    assert isinstance(parameters, dict)
    assert isinstance(output, dict)
    rows = "\n".join(
        f"| {'**' + name + '**' if field['required'] else name}"
        f"{' / ' + ' / '.join(field['aliases']) if field['aliases'] else ''} | {_cell(field['type'])} | "
        f"{'' if field['default'] is None else '`' + _cell(json.dumps(field['default'], ensure_ascii=False)) + '`'} | "
        f"{_cell(field['description'] or '')} |"
        for name, field in parameters.items()
    )
    fields = "\n".join(
        f"| {name} | {_cell(field['type'])} | {_cell(field['description'] or '')} |" for name, field in output.items()
    )
    main = f"\n\n`{{{{ ID_result }}}}` means `output.{described['main_output']}`." if described["main_output"] else ""
    safe = "Safe to run again after a crash." if described["idempotent"] else "Not safe to run twice blindly."
    return (
        f"{_made('the step module')}# {described['step_type']}\n\n*{described['family']}*\n\n"
        f"{described['documentation']}\n\n"
        f"## Parameters\n\nRequired in bold; other spellings after a slash.\n\n"
        f"| parameter | type | default | |\n| --- | --- | --- | --- |\n{rows}\n\n"
        f"## Output\n\n| field | type | |\n| --- | --- | --- |\n{fields}{main}\n\n{safe}\n"
    )


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _cli() -> str:
    context = cli.make_context("rustchain-airflow", [], resilient_parsing=True, terminal_width=100)
    pages = [f"## rustchain-airflow\n\n```text\n{cli.get_help(context)}\n```"]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        alias = next((f" (also `{alias}`)" for alias, target in ALIASES.items() if target == name), "")
        with click.Context(command, info_name=name, parent=context) as inner:
            pages.append(f"## {name}{alias}\n\n```text\n{command.get_help(inner)}\n```")
    return f"{_made('the commands')}# Command line\n\n" + "\n\n".join(pages) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    drifted = []
    expected = set()
    for name, text in artefacts():
        path = ROOT / name
        expected.add(path)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            drifted.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    for folder in ("docs/steps", "docs/checks"):
        for path in (ROOT / folder).glob("*.md"):
            if path not in expected:
                drifted.append(str(path.relative_to(ROOT)))
                if not check:
                    path.unlink()
    for name in drifted:
        print(f"{'out of date' if check else 'written'}: {name}")
    if check and drifted:
        print(f"run: {COMMAND}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
