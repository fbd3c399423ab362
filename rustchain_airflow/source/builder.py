"""What building a value from either format shares: the faults it collects, and the words they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Final, NamedTuple, NoReturn

from rustchain_airflow.source.faults import Fault
from rustchain_airflow.source.limits import Limits
from rustchain_airflow.source.numbers import INTEGER, MAX_DIGITS
from rustchain_airflow.source.spans import Lines

SHOWN: Final = 100
"""How much of the text a message may repeat, in characters."""

CLOSING: Final = {"[": "]", "{": "}"}


def shortened(text: str) -> str:
    """A text as a message shows it."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


class Stop(Exception):
    """Nothing more can be read; the fault is recorded."""


class Complaint(NamedTuple):
    """What is wrong at an offset of the text, over ``length`` characters."""

    message: str
    start: int
    help: str | None = None
    length: int = 1


class Builder(ABC):
    """Builds the value of a text, without recursion, and collects the faults that it can go on after."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.faults: list[Fault] = []
        self._text = text
        self._limits = limits

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def build(self) -> Any:
        """The value; None where nothing more could be read. It counts only if there are no ``faults``."""
        try:
            return self._value()
        except Stop:
            return None

    @abstractmethod
    def _value(self) -> Any:
        """The value. Raises Stop where nothing more can be read."""

    def _fault(self, code: str, message: str, start: int, end: int, help: str | None = None) -> None:
        self.faults.append(Fault(code, message, self._lines.span(start, min(end, len(self._text))), help))

    def _mishap(self, complaint: Complaint) -> None:
        start, end = complaint.start, complaint.start + complaint.length
        if self._text[start : start + 1] in ("\r", "\n"):  # a line's end shows no character to point at
            end = start
        self._fault("RC001", complaint.message, start, end, complaint.help)

    def _stop(self, code: str, message: str, start: int, end: int, help: str | None = None) -> NoReturn:
        self._fault(code, message, start, end, help)
        raise Stop

    def _duplicate(self, key: str, first: int, start: int, end: int, help: str = "remove one of the two") -> None:
        line, _ = self._lines.position(first)
        self._fault("RC002", f'"{shortened(key)}" stands here again; it was on line {line}', start, end, help)

    def _unrepresentable(self, text: str, start: int, end: int) -> None:
        message = (
            f"a number of {len(text):,} digits is beyond the limit of {MAX_DIGITS:,}"
            if INTEGER.fullmatch(text)
            else f'"{shortened(text)}" is a number that JSON cannot hold'
        )
        self._fault("RC013", message, start, end, "quote it if text is meant")

    def _too_deep(self, start: int) -> NoReturn:
        message = f"lists and mappings are nested more than {self._limits.max_depth} deep"
        self._stop("RC009", message, start, start + 1)
