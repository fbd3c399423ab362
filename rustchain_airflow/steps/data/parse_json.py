"""Parse JSON."""

from __future__ import annotations

from rustchain_airflow.steps.data.content import read_content
from rustchain_airflow.steps.data.json_text import parse_json_text
from rustchain_airflow.steps.data.parsed import ParsedOutput, ParseParameters, finish
from rustchain_airflow.steps.sdk import StepContext, step


class ParseJsonParameters(ParseParameters):
    """What to read, which part of it to give back, and what it has to look like."""


class ParseJsonOutput(ParsedOutput):
    """A parsed value."""


@step(idempotent=True)
def parse_json(parameters: ParseJsonParameters, context: StepContext) -> ParseJsonOutput:
    """Parse JSON from text or a file.

    Strict JSON (RFC 8259): duplicate keys, NaN, Infinity and numbers beyond a double fail, with line and column,
    and so does nesting beyond 100 levels. Content that a reference already made an object or a list is taken as it is.

    `pointer` gives back one part of the value. With `schema` or `schema_file` (JSON Schema, drafts 4 to 2020-12 by
    `$schema`) a value the schema forbids fails the step; the output of the failure still holds `parsed`, with
    `valid: false`. Schemas are never fetched from elsewhere.
    """
    if isinstance(parameters.content, dict | list):
        value = parameters.content
    else:
        value = parse_json_text(read_content(parameters.content, parameters.file, context))
    part, valid = finish(value, parameters, context)
    return ParseJsonOutput(parsed=part, valid=valid)
