"""Parse YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rustchain_airflow.steps.data.content import read_content
from rustchain_airflow.steps.data.parsed import ParsedOutput, ParseParameters, finish
from rustchain_airflow.steps.data.yaml_documents import read_documents
from rustchain_airflow.steps.sdk import StepContext, step


class ParseYamlParameters(ParseParameters):
    """What to read, which part of it to give back, and what it has to look like."""

    documents: Literal["first", "all"] = Field(
        "first", description="Give back the first document, or a list of all documents."
    )


class ParseYamlOutput(ParsedOutput):
    """A parsed value."""


@step(idempotent=True)
def parse_yaml(parameters: ParseYamlParameters, context: StepContext) -> ParseYamlOutput:
    """Parse YAML from text or a file.

    YAML means here what it means in mission files (semantics §1.1), which is YAML 1.2: `on`, `off`, `yes` and `no` are
    text, `0644` is the text "0644", dates stay text, and a `version` at the top level is text. Duplicate keys, unknown
    tags, `.inf` and `.nan` fail with line and column; what aliases may expand to is bounded, and so is nesting, at
    100 levels.

    `documents: all` gives a list of all documents of the stream; `first` does not read those behind the first.
    `pointer` and the schema then speak of that list. With `schema` or `schema_file` (JSON Schema, in JSON or YAML)
    a value the schema forbids fails the step; the output of the failure still holds `parsed`, with `valid: false`.
    """
    if isinstance(parameters.content, dict | list):
        value = parameters.content
    else:
        documents = read_documents(read_content(parameters.content, parameters.file, context))
        value = [each.value for each in documents] if parameters.documents == "all" else next(documents).value
    part, valid = finish(value, parameters, context)
    return ParseYamlOutput(parsed=part, valid=valid)
