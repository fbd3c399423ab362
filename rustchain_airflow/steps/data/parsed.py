"""What parse_json and parse_yaml share: the parameters, the output, and what happens after the text is read."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rustchain_airflow.steps.data.content import SchemaParameters, ValueParameters
from rustchain_airflow.steps.data.json_schema import compiled_schema
from rustchain_airflow.steps.data.json_text import check_value
from rustchain_airflow.steps.data.pointer import join_pointer, resolve_pointer
from rustchain_airflow.steps.sdk import Output, StepContext, StepError


class ParseParameters(ValueParameters, SchemaParameters):
    """What to read, which part of it to give back, and what it has to look like."""

    pointer: str | None = Field(
        None, description='JSON Pointer (RFC 6901) of the part to give back, such as "/items/0/name".'
    )


class ParsedOutput(Output):
    """A parsed value."""

    main = "parsed"

    parsed: Any = Field(description="The value, or the part of it that `pointer` names.")
    valid: bool = Field(description="Whether the whole value satisfies the schema; true where none is given.")


def finish(value: Any, parameters: ParseParameters, context: StepContext) -> tuple[Any, bool]:
    """Check the whole value against the schema and pick the part that is asked for.

    Raises StepError for a value the schema forbids, its output holding what was parsed.
    """
    try:
        check_value(value, "content")
    except ValueError as error:
        raise StepError(str(error)) from None
    schema = compiled_schema(parameters, context)
    first = next(schema.violations(value), None) if schema else None
    part = value if parameters.pointer is None else resolve_pointer(value, parameters.pointer)
    if first is not None:
        place = join_pointer(first.path) or "the root"
        raise StepError(
            f"the schema is not satisfied at {place}: {first.message}", output={"parsed": part, "valid": False}
        )
    return part, True
