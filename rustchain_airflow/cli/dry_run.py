"""What ``run-local --dry-run`` prints: the plan."""

from __future__ import annotations

import json
from typing import Any

from rustchain_airflow.diagnostics.text import escaped
from rustchain_airflow.expressions import parse_with, strings
from rustchain_airflow.local.executor import default_concurrency, waves
from rustchain_airflow.plan import Plan, PlannedStep
from rustchain_airflow.steps import catalog


def render(plan: Plan, *, output: str, max_concurrent_steps: int | None) -> str:
    """The plan as text for people, or as JSON."""
    described = describe(plan, max_concurrent_steps=max_concurrent_steps)
    if output == "json":
        return json.dumps(described, indent=2, ensure_ascii=False)
    return "\n".join(map(escaped, _lines(described)))


def describe(plan: Plan, *, max_concurrent_steps: int | None = None) -> dict[str, Any]:
    """Order, waves, tolerance, attempts, time limits, references, and what each step would touch."""
    return {
        "mission": plan.name,
        "version": plan.version,
        "fail_fast": plan.fail_fast,
        "max_concurrent_steps": max_concurrent_steps or plan.max_concurrent_steps or default_concurrency(),
        "timeout_seconds": plan.timeout_seconds,
        "inputs": [
            {"name": given.name, "type": given.type, "required": given.required, "default": given.default}
            for given in plan.inputs
        ],
        "waves": [[_step(step) for step in wave] for wave in waves(plan)],
    }


def _step(step: PlannedStep) -> dict[str, Any]:
    return {
        "id": step.id,
        "name": step.name,
        "step_type": step.step_type.value,
        "available": catalog.available(step.step_type),
        "depends_on": [
            {"id": edge.upstream, "tolerates_failure": edge.tolerates_failure, "inferred": edge.inferred}
            for edge in step.edges
        ],
        "continue_on_error": step.continue_on_error,
        "attempts": step.attempts,
        "retry_delay_ms": step.retry_delay_ms if step.attempts > 1 else None,
        "timeout_seconds": step.timeout_seconds,
        "references": list(
            dict.fromkeys(
                step.bindings.get(reference.text, reference).path
                for _, text in strings(step.parameters)
                if (template := parse_with(text, step.bindings)) is not None
                for reference in template.references
            )
        ),
        "touches": _touches(step),
    }


def _touches(step: PlannedStep) -> list[dict[str, str]]:
    """Paths the step names, by what it does with them; references are shown as written."""
    if not catalog.available(step.step_type):
        return []
    declared = catalog.load(step.step_type).declared
    touched = []
    for written, value in step.parameters.items():
        access = declared.paths.get(declared.canonical.get(written, written))
        for path in value if isinstance(value, list) else [value]:
            if access is not None and isinstance(path, str) and path:
                touched.append({"access": access.value, "path": path})
    return touched


def _lines(plan: dict[str, Any]) -> list[str]:
    limit = f", mission timeout {plan['timeout_seconds']:g} s" if plan["timeout_seconds"] else ""
    fail_fast = "on" if plan["fail_fast"] else "off"
    lines = [
        f"{plan['mission']} (version {plan['version']})",
        f"at most {plan['max_concurrent_steps']} steps at a time, fail_fast {fail_fast}{limit}",
    ]
    for given in plan["inputs"]:
        default = "required" if given["required"] and given["default"] is None else f"default {given['default']!r}"
        lines.append(f"input {given['name']}: {given['type']}, {default}")
    for number, wave in enumerate(plan["waves"], 1):
        lines += ["", f"wave {number}"]
        for step in wave:
            lines.extend(f"  {line}" for line in _step_lines(step))
    return lines


def _step_lines(step: dict[str, Any]) -> list[str]:
    attempts = (
        f"{step['attempts']} attempts, {step['retry_delay_ms']} ms apart" if step["attempts"] > 1 else "1 attempt"
    )
    missing = "" if step["available"] else "  (not available yet: will fail)"
    lines = [
        f"{step['id']}  {step['step_type']}{missing}",
        f"    {attempts}, {step['timeout_seconds']:g} s each"
        + (", its failure is tolerated" if step["continue_on_error"] else ""),
    ]
    for edge in step["depends_on"]:
        how = [
            *(["even if it fails"] if edge["tolerates_failure"] else []),
            *(["because of a reference"] if edge["inferred"] else []),
        ]
        lines.append(f"    after {edge['id']}" + (f" ({', '.join(how)})" if how else ""))
    lines.extend(f"    uses {reference}" for reference in step["references"])
    lines.extend(f"    {touched['access']}s {touched['path']}" for touched in step["touches"])
    return lines
