"""The JSON Schema of mission files, made from the models the checker uses."""

from __future__ import annotations

from typing import Any

from rustchain_airflow.mission import STEP_ID, Mission, MissionInput, MissionStep
from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps import catalog
from rustchain_airflow.steps.reference import properties

REFERENCE = {"type": "string", "pattern": r"\{\{.*\}\}", "title": "a reference such as {{ step.output.field }}"}


def mission_schema() -> dict[str, Any]:
    """Draft 2020-12; per step type an ``if``/``then`` on ``step_type``, so that editors show the right messages."""
    header = properties(Mission)
    header["config"] |= {"patternProperties": {"^x-": {}}, "additionalProperties": False}
    step = properties(MissionStep)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RustChain mission",
        "description": Mission.__doc__,
        "type": "object",
        "required": ["steps"],
        "properties": header
        | {
            "version": {"type": ["string", "number"], "description": "Version of the mission format."},
            "parameters": {"type": "array", "items": {"type": "object", "properties": properties(MissionInput)}},
            "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "$defs": {
            "step": {
                "type": "object",
                "required": ["id", "step_type"],
                "properties": step
                | {
                    "id": {"type": "string", "pattern": STEP_ID, "description": "Unique id."},
                    "step_type": {"enum": [name.value for name in StepType], "description": "What the step does."},
                    "parameters": {"type": "object"},
                },
                "patternProperties": {"^x-": {}},
                "additionalProperties": False,
                "allOf": [_step_type(name) for name in StepType if catalog.available(name)],
            }
        },
    }


def _step_type(name: StepType) -> dict[str, Any]:
    implementation = catalog.load(name)
    declared = implementation.declared
    fields = properties(implementation.parameters)
    written = {spelling: _or_reference(fields[canonical]) for spelling, canonical in declared.canonical.items()}
    required = [
        {
            "anyOf": [
                {"required": [spelling]} for spelling, canonical in declared.canonical.items() if canonical == field
            ]
        }
        for field, info in implementation.parameters.model_fields.items()
        if info.is_required()
    ]
    parameters: dict[str, Any] = {
        "type": "object",
        "description": implementation.summary,
        "properties": written,
        "patternProperties": {"^x-": {}},
    }
    if implementation.parameters.model_config.get("extra") != "allow":
        parameters["additionalProperties"] = False
    if required:
        parameters["allOf"] = required
    consequence: dict[str, Any] = {"properties": {"parameters": parameters}}
    if required:
        consequence["required"] = ["parameters"]
    return {
        "if": {"properties": {"step_type": {"const": name.value}}, "required": ["step_type"]},
        "then": consequence,
    }


def _or_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema, or a reference that will bring the value."""
    if schema.get("type") == "string" and set(schema) <= {"type", "title", "description", "default"}:
        return schema
    about = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    return about | {"anyOf": [{key: value for key, value in schema.items() if key not in about}, REFERENCE]}
