"""Which step types can be used, and where their modules are; none is imported before it is asked for."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

from rustchain_airflow.step_type import StepType
from rustchain_airflow.steps.sdk import StepImplementation, StepRefused


def available(step_type: str) -> bool:
    """Whether the module of a step type is there; imports no step module."""
    return find_spec(_module(step_type)) is not None


@cache
def load(step_type: str) -> StepImplementation:
    """The declaration of a step type. Raises StepRefused for one that is not available yet."""
    module = _module(step_type)
    if find_spec(module) is None:
        raise StepRefused(f'step type "{step_type}" is not available yet in this version of rustchain-airflow')
    implementation = getattr(importlib.import_module(module), step_type)
    assert isinstance(implementation, StepImplementation), module
    return implementation


def _module(step_type: str) -> str:
    return f"rustchain_airflow.steps.{StepType(step_type).family}.{step_type}"
