"""The ``airflow:`` keys of a mission and its steps, as arguments of DAGs and operators (semantics §10.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from rustchain_airflow.codegen.pysource import Call
from rustchain_airflow.source import DocumentPath

PRESETS: Final = (
    "@once",
    "@continuous",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
    "@annually",
)

TIMETABLES: Final = ("CronTriggerTimetable", "CronDataIntervalTimetable")
"""Timetables a mission may name: those a cron expression and a time zone describe fully."""

_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,\-?#]+")


class Uncompilable(Exception):
    """The mission says something that Airflow cannot be told. ``path`` is where it says so."""

    def __init__(self, path: DocumentPath, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.help = help


class Settings:
    """An ``airflow:`` key and where it stands. Each method reads one entry; None where it is not given."""

    def __init__(self, values: Mapping[str, Any], path: DocumentPath) -> None:
        self._values = values
        self._path = path

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        value = self.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def integer(self, key: str, *, at_least: int | None = None) -> int | None:
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or (at_least is not None and value < at_least):
            raise self._wrong(key, "a whole number" + ("" if at_least is None else f" of at least {at_least}"))
        return value

    def flag(self, key: str) -> bool | None:
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self._wrong(key, "a mapping")
        return value or {}

    def texts(self, key: str) -> list[str]:
        """One text or a list of them."""
        value = self.get(key)
        texts = [value] if isinstance(value, str) else value or []
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            raise self._wrong(key, "text or a list of texts")
        return texts

    def assets(self, key: str) -> list[Call]:
        return [asset(name) for name in self.texts(key)]

    def date(self, key: str) -> Call | None:
        """``pendulum.datetime(2026, 1, 1, tz="Europe/Berlin")``; an offset in the text beats ``timezone``."""
        text = self.text(key)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._wrong(key, 'a date such as "2026-01-31" or "2026-01-31T06:00:00+02:00"') from None
        parts = [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond]
        while len(parts) > 3 and parts[-1] == 0:
            parts.pop()
        zone = self.timezone() or "UTC"
        offset = moment.utcoffset()
        if offset is not None:
            return Call("pendulum.datetime", parts, {"tz": offset.total_seconds() / 3600 if offset else "UTC"})
        return Call("pendulum.datetime", parts, {"tz": zone})

    def timezone(self) -> str | None:
        name = self.text("timezone")
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise self._wrong("timezone", 'the name of a time zone such as "Europe/Berlin"') from None
        return name

    def schedule(self) -> Any:
        """A preset, a cron expression, a list of assets, a timetable, or None."""
        value = self.get("schedule")
        match value:
            case None | "":
                return None
            case str():
                return self._cron_schedule(value)
            case list():
                return self.assets("schedule")
            case Mapping() if "assets" in value:
                return Settings(value, (*self._path, "schedule")).assets("assets")
            case Mapping() if "timetable" in value:
                return self._timetable(Settings(value, (*self._path, "schedule")))
        raise self._wrong("schedule", "a cron expression, a preset such as @daily, a list of assets, or a timetable")

    def _cron_schedule(self, text: str) -> Any:
        if text in PRESETS:
            return text
        self._check_cron("schedule", text)
        zone = self.timezone()
        if zone is not None and self.get("start_date") is None:
            return Call("CronTriggerTimetable", [text], {"timezone": zone})
        return text

    def _timetable(self, given: Settings) -> Call:
        name, cron = given.text("timetable"), given.text("cron")
        if name not in TIMETABLES:
            raise given._wrong("timetable", f"one of {', '.join(TIMETABLES)}")
        given._check_cron("cron", cron)
        return Call(name, [cron], {"timezone": given.timezone() or self.timezone() or "UTC"})

    def _check_cron(self, key: str, text: str | None) -> None:
        fields = (text or "").split()
        if len(fields) not in (5, 6) or not all(map(_CRON_FIELD.fullmatch, fields)):
            raise self._wrong(key, 'a cron expression such as "30 6 * * 1-5", or a preset such as @daily')

    def _wrong(self, key: str, expected: str) -> Uncompilable:
        return Uncompilable((*self._path, key), f"{key} under airflow: must be {expected}")


def asset(name: str) -> Call:
    """An asset by name, or by URI where the text is one."""
    return Call("Asset", keywords={"uri": name}) if "://" in name else Call("Asset", [name])
