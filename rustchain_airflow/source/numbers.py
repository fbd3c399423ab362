"""Numbers as a JSON value can hold them."""

from __future__ import annotations

import math
import re
from typing import Any, Final

UNREPRESENTABLE: Final = object()
"""Stands for a number that no JSON value can hold; told apart by identity."""

INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
MAX_DIGITS: Final = 4000  # Python refuses to print or parse longer integers


def integer(text: str) -> Any:
    """The value of a decimal, octal or hexadecimal integer, or UNREPRESENTABLE."""
    if len(text) > MAX_DIGITS:
        return UNREPRESENTABLE
    digits = text.lstrip("+-")
    return int(text, {"0o": 8, "0x": 16}.get(digits[:2], 10))


def floating(text: str) -> Any:
    """The value of a decimal fraction, or UNREPRESENTABLE."""
    number = float(text)
    return number if math.isfinite(number) else UNREPRESENTABLE
