"""What a step type takes and gives, as data: for `steps`, the JSON Schema of missions, and the pages of docs/steps."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.sdk import Marker, StepImplementation


def describe(step_type: str) -> dict[str, Any]:
    """One step type: name, family, availability, summary, documentation, parameters and output by name.

    A parameter has type, required, default, description, aliases and, where it has one, a meaning (path,
    connection, secret). An output field has type and description.
    """
    name = StepType(step_type)
    base: dict[str, Any] = {"step_type": name.value, "family": name.family.value}
    if not catalog.available(name):
        return base | {"available": False, "summary": None, "documentation": None, "parameters": {}, "output": {}}
    implementation = catalog.load(name)
    return base | {
        "available": True,
        "summary": implementation.summary,
        "documentation": implementation.page,
        "runs_as": implementation.runs_as.value,
        "idempotent": implementation.idempotent,
        "parameters": _parameters(implementation),
        "output": {
            field: {"type": type_text(schema), "description": schema.get("description")}
            for field, schema in properties(implementation.output).items()
        },
        "main_output": implementation.output.main,
    }


def _parameters(implementation: StepImplementation) -> dict[str, dict[str, Any]]:
    declared = implementation.declared
    aliases: dict[str, list[str]] = {}
    for written, name in declared.canonical.items():
        if written != name:
            aliases.setdefault(name, []).append(written)
    described = {}
    for name, schema in properties(implementation.parameters).items():
        field = implementation.parameters.model_fields[name]
        described[name] = {
            "type": type_text(schema),
            "required": field.is_required(),
            "default": None if field.is_required() else schema.get("default"),
            "description": schema.get("description"),
            "aliases": aliases.get(name, []),
            "meaning": _meaning(implementation, name),
        }
    return described


def _meaning(implementation: StepImplementation, name: str) -> str | None:
    if (access := implementation.declared.paths.get(name)) is not None:
        return f"path to {access.value}"
    markers = implementation.declared.markers.get(name, frozenset())
    return next((marker.value for marker in Marker if marker in markers), None)


def properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The JSON Schema of each field of a model, with references to nested models resolved one level deep."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return {name: _resolved(field, definitions) for name, field in schema.get("properties", {}).items()}


def _resolved(schema: Any, definitions: dict[str, Any], depth: int = 0) -> Any:
    """A schema without ``$ref``: editors and people read it where it stands."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            target = definitions.get(schema["$ref"].rpartition("/")[2], {})
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return (_resolved(target, definitions, depth + 1) if depth < 6 else {}) | rest
        return {key: _resolved(value, definitions, depth) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_resolved(item, definitions, depth) for item in schema]
    return schema


def type_text(schema: dict[str, Any]) -> str:
    """A JSON Schema as a few words."""
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            names = dict.fromkeys(type_text(member) for member in schema[union] if member.get("type") != "null")
            return " or ".join(names)
    kind = schema.get("type", "any value")
    if isinstance(kind, list):  # what else is taken is written out as the first
        kind = kind[0]
    if kind == "array":
        items = schema.get("items")
        return f"list of {type_text(items)}" if items else "list"
    if kind == "object":
        return "mapping"
    return {"string": "text", "boolean": "true or false"}.get(kind, str(kind))
