"""Airflow operators: one module a family of step types. A name is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustchain_airflow.operators._table import build_mission
    from rustchain_airflow.operators.ai import AiOperator
    from rustchain_airflow.operators.code import CodeOperator
    from rustchain_airflow.operators.control import ControlOperator
    from rustchain_airflow.operators.data import DataOperator
    from rustchain_airflow.operators.database import DatabaseOperator
    from rustchain_airflow.operators.file import FileOperator
    from rustchain_airflow.operators.git import GitOperator
    from rustchain_airflow.operators.mission_result import MissionResultOperator, MissionStartOperator
    from rustchain_airflow.operators.ml import MlOperator
    from rustchain_airflow.operators.network import NetworkOperator
    from rustchain_airflow.operators.system import SystemOperator

__all__ = [
    "AiOperator",
    "CodeOperator",
    "ControlOperator",
    "DataOperator",
    "DatabaseOperator",
    "FileOperator",
    "GitOperator",
    "MissionResultOperator",
    "MissionStartOperator",
    "MlOperator",
    "NetworkOperator",
    "SystemOperator",
    "build_mission",
]

_MODULES = {
    "AiOperator": "ai",
    "CodeOperator": "code",
    "ControlOperator": "control",
    "DataOperator": "data",
    "DatabaseOperator": "database",
    "FileOperator": "file",
    "GitOperator": "git",
    "MissionResultOperator": "mission_result",
    "MissionStartOperator": "mission_result",
    "MlOperator": "ml",
    "NetworkOperator": "network",
    "SystemOperator": "system",
    "build_mission": "_table",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
