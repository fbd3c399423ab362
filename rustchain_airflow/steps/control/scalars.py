"""Text that a mission may also write as a number or a boolean: ``5`` is "5", ``true`` is "true"."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema


def as_text(value: Any) -> Any:
    """A scalar as YAML spells it; whatever else it is, unchanged, for the model to refuse."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(as_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""Text; numbers and booleans are written out, not refused and not dropped."""
