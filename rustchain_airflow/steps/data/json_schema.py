"""JSON Schema, drafts 4 to 2020-12: what is wrong with a value, by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from rustchain_airflow.steps.data.content import SchemaParameters, document, read_content
from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused, require

_BASE: Final = "schema:///"
_MAX_MESSAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a value; ``path`` holds keys and indices from the root."""

    path: tuple[str | int, ...]
    message: str


class JsonSchema:
    """A compiled schema. References to anything outside it are refused, never fetched."""

    def __init__(self, schema: Any, name: str) -> None:
        library = require("jsonschema_rs", "data")
        elsewhere: list[str] = []

        def refuse(address: str) -> NoReturn:
            elsewhere.append(address.removeprefix(_BASE))
            raise ValueError(address)

        try:
            # Without validate_formats "format" would be a remark only, and every mistyped address would pass.
            self._validator = library.validator_for(schema, validate_formats=True, retriever=refuse, base_uri=_BASE)
        except (ValueError, library.ReferencingError) as error:
            if elsewhere:
                raise StepRefused(
                    f'{name} refers to "{elsewhere[0]}", and schemas are never fetched; put it under "$defs"'
                ) from None
            raise StepRefused(f"{name} is not a usable JSON Schema: {_first_line(error)}") from None

    def violations(self, value: Any) -> Iterator[Violation]:
        """What is wrong, in the validator's order. Raises StepError for a value it cannot judge."""
        try:
            for error in self._validator.iter_errors(value):
                yield Violation(tuple(error.instance_path), _shortened(error.message))
        except ValueError as error:
            raise StepError(f"the schema cannot be applied: {_first_line(error)}") from None


def read_schema(parameters: SchemaParameters, context: StepContext) -> Any:
    """The schema as given: inline, or from a file in YAML or JSON; None where there is none."""
    inline = parameters.schema
    if parameters.schema_file is None and not isinstance(inline, str):
        return inline
    text = inline if isinstance(inline, str) else None
    content = read_content(text, parameters.schema_file, context, name="schema")
    # JSON is read as JSON where the name says so; anything else as YAML, which reads inline JSON too.
    return document(
        content.data, name=content.name, format="json" if content.name.lower().endswith(".json") else "yaml"
    ).value


def compiled_schema(parameters: SchemaParameters, context: StepContext) -> JsonSchema | None:
    """The JSON Schema of the parameters; None where they have none."""
    if parameters.schema is None and parameters.schema_file is None:
        return None
    return JsonSchema(read_schema(parameters, context), parameters.schema_file or "schema")


def _first_line(error: Exception) -> str:
    return _shortened(str(error).partition("\n")[0])


def _shortened(message: str) -> str:
    # A message quotes the value it speaks of, which may be the whole document.
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"
