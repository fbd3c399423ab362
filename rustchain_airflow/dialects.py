"""Accepted ways to write a mission, read as the canonical one; each leaves a note (semantics §1.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rustchain_airflow.diagnostics import Finding, Severity
from rustchain_airflow.source import DocumentPath
from rustchain_airflow.step_type import StepType

_RENAMED_STEP_TYPES = {
    "http_request": StepType.HTTP,
    "shell": StepType.COMMAND,
    "llm_completion": StepType.LLM,
    "llm_chat": StepType.LLM,
    "tool_call": StepType.TOOL,
}

_RENAMED_CONFIG = {
    "max_parallel_steps": "max_concurrent_steps",
    "max_parallel": "max_concurrent_steps",
    "parallel_limit": "max_concurrent_steps",
    "timeout": "timeout_seconds",
    "retry_count": "retry_attempts",
}

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass
class Canonical:
    """A mission value in the canonical dialect."""

    value: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    origins: dict[DocumentPath, DocumentPath] = field(default_factory=dict)
    """Where moved parts stand in the document: canonical path to written path."""

    def origin(self, path: DocumentPath) -> DocumentPath:
        """The path under which a part of the canonical value was written."""
        for length in range(len(path), 0, -1):
            if (written := self.origins.get(path[:length])) is not None:
                return written + path[length:]
        return path


def canonical(value: Mapping[str, Any]) -> Canonical:
    """Read every dialect as the canonical form; parts of the wrong shape are left for the shape check."""
    result = Canonical(dict(value))
    for refused, instead in (
        ("missions", "write one mission a file, and let Airflow assets or a scheduler order them"),
        ("stacks", "write one mission a file"),
        ("phases", "list all steps under steps: and order them with depends_on"),
        ("execution_phases", "list all steps under steps: and order them with depends_on"),
    ):
        if refused in value:
            result.findings.append(
                Finding("RC108", Severity.ERROR, (refused,), f'"{refused}" is not supported', instead, at_key=True)
            )
            result.value.pop(refused)
    if isinstance(config := value.get("config"), Mapping):
        result.value["config"] = _renamed(result, ("config",), config, _RENAMED_CONFIG)
    if isinstance(inputs := value.get("parameters"), Mapping):
        result.value["parameters"] = _inputs(result, inputs)
    steps = value.get("steps")
    if isinstance(steps, Mapping):
        _note(result, ("steps",), "steps written as a map", "a list, each with its id:")
        result.value["steps"] = [
            {"id": step_id, **step} if isinstance(step, Mapping) else step for step_id, step in steps.items()
        ]
        for index, step_id in enumerate(steps):
            result.origins[("steps", index)] = ("steps", step_id)
        steps = result.value["steps"]
    if isinstance(steps, list):
        result.value["steps"] = [
            _step(result, index, step) if isinstance(step, Mapping) else step for index, step in enumerate(steps)
        ]
        _root_dependencies(result)
    return result


def _note(result: Canonical, path: DocumentPath, written: str, instead: str, *, at_key: bool = True) -> None:
    result.findings.append(
        Finding("RC107", Severity.NOTE, path, f"{written} is read as its canonical form", f"write {instead}", at_key)
    )


def _renamed(
    result: Canonical, path: DocumentPath, value: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, item in value.items():
        name = names.get(key, key)
        if name != key and name in value:
            name = key  # both are written: the other is reported as unknown rather than silently lost
        elif name != key:
            _note(result, (*path, key), f'"{key}"', f'"{name}"')
            result.origins[(*path, name)] = (*path, key)
        renamed[name] = item
    return renamed


def _inputs(result: Canonical, inputs: Mapping[str, Any]) -> list[Any]:
    """Root ``parameters`` as a map from name to description, the way JSON Schema writes properties."""
    listed: list[Any] = []
    for index, (name, description) in enumerate(inputs.items()):
        result.origins[("parameters", index)] = ("parameters", name)
        listed.append(
            {"name": name, **description}
            if isinstance(description, Mapping)
            else {"name": name, "default": description}
        )
    return listed


def _step(result: Canonical, index: int, written: Mapping[str, Any]) -> dict[str, Any]:
    path: DocumentPath = ("steps", index)
    step = _renamed(result, path, written, {"dependencies": "depends_on", "retry_count": "retry_attempts"})
    if "timeout" in step and "timeout_seconds" not in step:
        _note(result, (*path, "timeout"), '"timeout"', '"timeout_seconds"')
        result.origins[(*path, "timeout_seconds")] = result.origin((*path, "timeout"))
        step["timeout_seconds"] = step.pop("timeout")
    if isinstance(step.get("depends_on"), str):
        step["depends_on"] = [step["depends_on"]]
        result.origins[(*path, "depends_on", 0)] = result.origin((*path, "depends_on"))
    if step.get("depends_on", ()) is None:
        step["depends_on"] = []
    if step.get("parameters", ()) is None:
        step["parameters"] = {}
    _on_failure(result, path, step)
    _tool_config(result, path, step)
    _step_type(result, path, step)
    return step


def _on_failure(result: Canonical, path: DocumentPath, step: dict[str, Any]) -> None:
    """Legacy ``on_failure: continue | abort``."""
    if step.get("on_failure") in ("continue", "abort") and "continue_on_error" not in step:
        tolerated = step.pop("on_failure") == "continue"
        _note(result, (*path, "on_failure"), '"on_failure"', f"continue_on_error: {str(tolerated).lower()}")
        result.origins[(*path, "continue_on_error")] = (*path, "on_failure")
        step["continue_on_error"] = tolerated


def _tool_config(result: Canonical, path: DocumentPath, step: dict[str, Any]) -> None:
    """Legacy ``config: {tool, args}``: a program and its arguments."""
    config = step.get("config")
    if not isinstance(config, Mapping) or "tool" not in config or "parameters" in step:
        return
    _note(result, (*path, "config"), '"config" with a tool', "step_type: command with parameters: {command, args}")
    step.pop("config")
    written_type = str(step.get("step_type", step.get("type", ""))).lower()
    if written_type in ("", "tool", "command"):
        step.pop("type", None)
        step["step_type"] = StepType.COMMAND.value
        step["parameters"] = {"command": config["tool"], "args": config.get("args", [])} | {
            key: item for key, item in config.items() if key not in ("tool", "args")
        }
        result.origins[(*path, "parameters", "command")] = (*path, "config", "tool")
    else:
        step["parameters"] = dict(config)
    result.origins[(*path, "parameters")] = (*path, "config")


def _step_type(result: Canonical, path: DocumentPath, step: dict[str, Any]) -> None:
    here = (*path, "step_type")
    if "step_type" not in step and isinstance(step.get("type"), str):
        _note(result, (*path, "type"), '"type"', '"step_type"')
        result.origins[here] = (*path, "type")
        step["step_type"] = step.pop("type")
    written = step.get("step_type")
    if isinstance(written, Mapping) and isinstance(written.get("type"), str):
        _note(result, here, "step_type written as a map", f"step_type: {_snake(written['type'])}")
        result.origins[here] = (*here, "type")
        rest = {key: item for key, item in written.items() if key != "type"}
        if rest and "parameters" not in step:
            step["parameters"] = rest
            result.origins[(*path, "parameters")] = here
        written = written["type"]
        step["step_type"] = written
    if not isinstance(written, str):
        return
    name = _snake(written)
    if name in _RENAMED_STEP_TYPES:
        if name == "shell" and isinstance(parameters := step.get("parameters"), Mapping) and "args" not in parameters:
            step["parameters"] = {"shell": True, **parameters}
        name = _RENAMED_STEP_TYPES[name].value
    if name != written and name in StepType._value2member_map_:
        if here not in result.origins:
            _note(result, here, f'step type "{written}"', f'"{name}"', at_key=False)
        step["step_type"] = name


def _snake(name: str) -> str:
    return _WORD_START.sub("_", name.strip()).replace("-", "_").lower()


def _root_dependencies(result: Canonical) -> None:
    """Root ``dependencies: [{from, to}]``: each adds ``from`` to the ``depends_on`` of ``to``."""
    edges = result.value.get("dependencies")
    if not isinstance(edges, list):
        return
    del result.value["dependencies"]
    _note(result, ("dependencies",), '"dependencies" of the mission', "depends_on: in the steps themselves")
    by_id: dict[Any, int] = {
        step.get("id"): index
        for index, step in enumerate(result.value["steps"])
        if isinstance(step, dict) and isinstance(step.get("id"), str)
    }
    for place, edge in enumerate(edges):
        here: DocumentPath = ("dependencies", place)
        if not (isinstance(edge, Mapping) and isinstance(edge.get("from"), str) and isinstance(edge.get("to"), str)):
            result.findings.append(
                Finding("RC103", Severity.ERROR, here, "a dependency of the mission needs from: and to:")
            )
            continue
        target = by_id.get(edge["to"])
        if target is None:
            result.findings.append(
                Finding(
                    "RC201",
                    Severity.ERROR,
                    (*here, "to"),
                    f'dependency to "{edge["to"]}", which this mission does not define',
                )
            )
            continue
        step = result.value["steps"][target]
        depends_on = step.get("depends_on", [])
        if isinstance(depends_on, list) and edge["from"] not in depends_on:
            step["depends_on"] = [*depends_on, edge["from"]]
            result.origins[("steps", target, "depends_on", len(depends_on))] = (*here, "from")
