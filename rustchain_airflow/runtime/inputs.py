"""The context variables a run starts with: what the mission sets, and what the run is given (semantics §7.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rustchain_airflow.plan import Input, Plan


class InvalidInputs(ValueError):
    """A run was given values its mission does not accept, or not given one that it needs."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def starting_variables(plan: Plan, given: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a run, later wins: root ``variables``, defaults of inputs, what the run gives.

    Text given for a typed input is read as its type (``--var n=3``). Raises InvalidInputs with all faults.
    """
    variables = dict(plan.variables)
    faults: list[str] = []
    for declared in plan.inputs:
        if declared.name in given:
            continue
        if declared.default is not None or not declared.required:
            variables[declared.name] = declared.default
        elif declared.name not in variables:
            faults.append(f'the mission needs a value for "{declared.name}": give it with --var {declared.name}=...')
    typed = {declared.name: declared for declared in plan.inputs}
    for name, value in given.items():
        declared_input = typed.get(name)
        if declared_input is None:
            variables[name] = value
            continue
        variables[name] = value = _read(declared_input, value)
        faults.extend(_faults(declared_input, value))
    if faults:
        raise InvalidInputs(faults)
    return variables


def _read(declared: Input, value: Any) -> Any:
    if isinstance(value, str) and declared.type != "string":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _faults(declared: Input, value: Any) -> list[str]:
    is_boolean = isinstance(value, bool)
    if not isinstance(value, _TYPES[declared.type]) or (is_boolean and declared.type != "boolean"):
        article = "an" if declared.type[0] in "aio" else "a"
        return [f'"{declared.name}" must be {article} {declared.type}, not {json.dumps(value)}']
    faults = []
    if declared.enum is not None and value not in declared.enum:
        choices = ", ".join(json.dumps(choice) for choice in declared.enum)
        faults.append(f'"{declared.name}" must be one of {choices}, not {json.dumps(value)}')
    if declared.minimum is not None and isinstance(value, (int, float)) and value < declared.minimum:
        faults.append(f'"{declared.name}" must be at least {declared.minimum:g}, not {value}')
    if declared.maximum is not None and isinstance(value, (int, float)) and value > declared.maximum:
        faults.append(f'"{declared.name}" must be at most {declared.maximum:g}, not {value}')
    return faults
