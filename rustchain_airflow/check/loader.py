"""MissionLoader: a mission file as the specification's Mission (specification, "Library Integration")."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rustchain_airflow.check import Checked, InvalidMission, check_file, check_text
from rustchain_airflow.mission import Mission


class MissionLoader:
    """Loads missions; what cannot run is refused with everything that is wrong with it."""

    @staticmethod
    def load_from_file(path: str | Path) -> Mission:
        """The mission in a file. Raises InvalidMission."""
        return _mission(check_file(path))

    @staticmethod
    def load_from_text(
        text: str | bytes, *, name: str = "mission.yaml", format: Literal["yaml", "json"] = "yaml"
    ) -> Mission:
        """The mission in a text. Raises InvalidMission."""
        return _mission(check_text(text, name=name, format=format))


def _mission(checked: Checked) -> Mission:
    if checked.mission is None:
        raise InvalidMission(checked.diagnostics)
    return checked.mission
