"""Missions in YAML: run them on a laptop, or compile them to Airflow DAGs.

Names are imported on first use: Airflow imports every provider package early, and nothing here may cost it anything.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustchain_airflow.check import Checked, InvalidMission
    from rustchain_airflow.check import check_file as check_mission
    from rustchain_airflow.check.loader import MissionLoader
    from rustchain_airflow.codegen.compile import compile_mission
    from rustchain_airflow.local.executor import DagExecutor
    from rustchain_airflow.mission import Mission, MissionConfig, MissionStep
    from rustchain_airflow.runtime.context import ExecutionContext
    from rustchain_airflow.runtime.results import MissionResult, StepResult
    from rustchain_airflow.semantics import MissionStatus, StepStatus
    from rustchain_airflow.step_type import StepType

_PLACES = {
    "Checked": "check",
    "DagExecutor": "local.executor",
    "ExecutionContext": "runtime.context",
    "InvalidMission": "check",
    "Mission": "mission",
    "MissionConfig": "mission",
    "MissionLoader": "check.loader",
    "MissionResult": "runtime.results",
    "MissionStatus": "semantics",
    "MissionStep": "mission",
    "StepResult": "runtime.results",
    "StepStatus": "semantics",
    "StepType": "step_type",
    "check_mission": "check:check_file",
    "compile_mission": "codegen.compile",
}

__all__ = [
    "Checked",
    "DagExecutor",
    "ExecutionContext",
    "InvalidMission",
    "Mission",
    "MissionConfig",
    "MissionLoader",
    "MissionResult",
    "MissionStatus",
    "MissionStep",
    "StepResult",
    "StepStatus",
    "StepType",
    "check_mission",
    "compile_mission",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rustchain-airflow")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
