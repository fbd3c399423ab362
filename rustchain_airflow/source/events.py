"""The parts of a text in the order in which they are written, whatever its format."""

from __future__ import annotations

from typing import Any, Final

SCALAR: Final = 0
MAPPING: Final = 1
LIST: Final = 2
END: Final = 3

Event = tuple[int, Any, int, int]
"""Kind, value (of a scalar), and the offsets of its start and end."""
