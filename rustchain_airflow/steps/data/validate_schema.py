"""Validate data against a schema."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from rustchain_airflow.source import Document
from rustchain_airflow.steps.data.content import NotADocument, SchemaParameters, read_content
from rustchain_airflow.steps.data.csv_schema import CsvSchema, SchemaCheck
from rustchain_airflow.steps.data.csv_text import CsvParameters, FormCheck, Malformed
from rustchain_airflow.steps.data.json_schema import JsonSchema, Violation, compiled_schema, read_schema
from rustchain_airflow.steps.data.json_text import check_value, parse_json_text
from rustchain_airflow.steps.data.pointer import join_pointer
from rustchain_airflow.steps.data.xml_text import NotWellFormed, XmlSchema, parse_xml_text
from rustchain_airflow.steps.data.yaml_documents import read_documents
from rustchain_airflow.steps.sdk import Alias, Output, ReadPath, StepContext, StepError, StepRefused, step

_MAX_ERRORS: Final = 1_000
_SHOWN_ERRORS: Final = 3
_CSV_SCHEMA: Final[TypeAdapter[Any]] = TypeAdapter(CsvSchema)


class ValidateSchemaParameters(CsvParameters, SchemaParameters):
    """What to judge, and by what."""

    exactly_one = (("data", "file"),)

    data: Annotated[Any, Alias("content")] = Field(
        None, description="The data: its text, or for json and yaml a value. Text is parsed as `schema_type` says."
    )
    file: Annotated[ReadPath | None, Alias("data_file", "path", "input_file")] = Field(
        None, description="The file that holds the data."
    )
    schema_type: Annotated[
        Literal["json", "yaml", "csv", "xml"],
        BeforeValidator(
            lambda value: "xml" if value == "xsd" else value,
            json_schema_input_type=Literal["json", "yaml", "csv", "xml", "xsd"],
        ),
    ] = Field("json", description="What the data is: json, yaml, csv, or xml (also xsd).")
    fail_on_invalid: bool = Field(True, description="Whether invalid data fails the step.")

    @model_validator(mode="after")
    def _schema_fits(self) -> ValidateSchemaParameters:
        inline: Any = self.schema
        if inline is None and self.schema_file is None and self.schema_type != "csv":
            raise PydanticCustomError("presence", "give exactly one of schema, schema_file")
        if self.schema_type == "xml" and inline is not None and not isinstance(inline, str):
            raise PydanticCustomError("value_error", "the schema of xml is the text of an XSD")
        if self.schema_type == "csv" and isinstance(inline, dict) and (fault := _csv_schema_fault(inline)):
            raise PydanticCustomError("value_error", "{fault}", {"fault": fault})
        if self.schema_type in ("csv", "xml") and self.data is not None and not isinstance(self.data, str):
            raise PydanticCustomError("value_error", "the data of {type} is text", {"type": self.schema_type})
        return self


class SchemaFault(BaseModel):
    """One thing wrong with the data."""

    path: str = Field(description="Where: a JSON Pointer, the name of a column, or an XPath; empty for the whole.")
    line: int | None = Field(description="The line of the text, where it is known.")
    message: str = Field(description="What is wrong.")


class ValidateSchemaOutput(Output):
    """The verdict."""

    main = "valid"

    valid: bool = Field(description="Whether the data satisfies the schema.")
    errors: list[SchemaFault] = Field(description="What is wrong: the first 1,000 errors.")
    error_count: int = Field(description="How many errors there are in all.")
    documents: int | None = Field(None, description="Documents that were judged: json, yaml and xml.")
    rows: int | None = Field(None, description="Rows of data that were judged: csv.")


class _Verdict:
    """Collects errors, the first of them in full."""

    def __init__(self) -> None:
        self.errors: list[SchemaFault] = []
        self.count = 0
        self.documents: int | None = None
        self.rows: int | None = None

    def add(self, path: str, line: int | None, message: str) -> None:
        self.count += 1
        if len(self.errors) < _MAX_ERRORS:
            self.errors.append(SchemaFault(path=path, line=line, message=message))


@step(idempotent=True)
def validate_schema(parameters: ValidateSchemaParameters, context: StepContext) -> ValidateSchemaOutput:
    """Judge data by a schema; invalid data fails the step unless `fail_on_invalid` is false.

    - `json`, `yaml`: JSON Schema, drafts 4 to 2020-12 by its `$schema`, written in JSON or YAML. Formats are checked.
      Schemas are never fetched. Each document of a YAML stream is judged.
    - `csv`: a schema of columns, `{column: {type, required, pattern, min, max, enum}}` or `{column: type}`, where type
      is string, integer, number, boolean (true, false, yes, no, 1, 0), date or datetime (ISO 8601). `min` and `max` of
      a string bound its length; `pattern` matches the whole cell; blanks around a cell do not count. Without a
      schema the data is checked to be well-formed: the same number of cells in every row, quotes that close, one
      encoding, no header twice, not empty. `delimiter`, `quotechar`, `encoding`, `has_header` as in csv_process.
    - `xml`: XSD 1.0, which may include files of the workspace.

    Data that is not well-formed is invalid data. `errors` holds the first 1,000 {path, line, message}; a failed step
    keeps its output.
    """
    verdict = _Verdict()
    match parameters.schema_type:
        case "csv":
            _judge_csv(parameters, context, verdict)
        case "xml":
            _judge_xml(parameters, context, verdict)
        case _:
            _judge_value(parameters, context, verdict)
    output = ValidateSchemaOutput(
        valid=not verdict.count,
        errors=verdict.errors,
        error_count=verdict.count,
        documents=verdict.documents,
        rows=verdict.rows,
    )
    if verdict.count and parameters.fail_on_invalid:
        raise StepError(_summary(parameters, verdict), output=output)
    return output


def _summary(parameters: ValidateSchemaParameters, verdict: _Verdict) -> str:
    shown = "; ".join(
        ": ".join(
            part
            for part in (f"line {error.line}" if error.line else "", error.path, error.message)
            if part and not (part == error.path and error.message.startswith(part))
        )
        for error in verdict.errors[:_SHOWN_ERRORS]
    )
    more = f"; and {verdict.count - _SHOWN_ERRORS} more" if verdict.count > _SHOWN_ERRORS else ""
    return f"{parameters.file or 'data'} is not valid: {shown}{more}"


def _judge_value(parameters: ValidateSchemaParameters, context: StepContext, verdict: _Verdict) -> None:
    schema = compiled_schema(parameters, context)
    assert schema is not None  # the parameters have been checked
    verdict.documents = 0
    if parameters.data is not None and not isinstance(parameters.data, str):
        _judge_document(parameters.data, None, schema, verdict)
        return
    content = read_content(parameters.data, parameters.file, context, name="data")
    try:
        if parameters.schema_type == "json":
            value = parse_json_text(content)
            _judge_document(value, lambda: content.document("json"), schema, verdict)
        else:
            for document in read_documents(content):
                _judge_document(document.value, lambda document=document: document, schema, verdict)
    except NotADocument as error:
        for fault in error.faults:
            verdict.add("", fault.span.line if fault.span else None, fault.message)


def _judge_document(value: Any, text: Any, schema: JsonSchema, verdict: _Verdict) -> None:
    """``text`` gives the Document of the value, where lines are wanted; None where there is no text."""
    try:
        check_value(value, "data")
    except ValueError as error:
        raise StepError(str(error)) from None
    assert verdict.documents is not None
    verdict.documents += 1
    found: list[Violation] = []
    for violation in schema.violations(value):
        if verdict.count + len(found) < _MAX_ERRORS:
            found.append(violation)
        else:
            verdict.count += 1
    document: Document | None = text() if found and text is not None else None
    spans = document.locate((violation.path, False) for violation in found) if document else {}
    for violation in found:
        span = spans.get((violation.path, False))
        prefix = f"document {verdict.documents}: " if verdict.documents > 1 else ""
        verdict.add(join_pointer(violation.path), span.line if span else None, prefix + violation.message)


def _judge_csv(parameters: ValidateSchemaParameters, context: StepContext, verdict: _Verdict) -> None:
    schema = read_schema(parameters, context)
    if fault_in_schema := _csv_schema_fault({} if schema is None else schema):
        raise StepRefused(fault_in_schema)
    rules = _CSV_SCHEMA.validate_python({} if schema is None else schema)
    with ExitStack() as cleanup:
        if parameters.file is None:
            file: Any = BytesIO(read_content(parameters.data, None, context, name="data").data)
        else:
            file = cleanup.enter_context(context.workspace.open(parameters.file))
        dialect = parameters if parameters.file else parameters.model_copy(update={"encoding": "utf-8"})
        form = FormCheck(file, dialect)
        check: SchemaCheck | None = None
        try:
            for row, faults in form:
                for fault in faults:
                    verdict.add("", fault.line, fault.message)
                if check is None:
                    check = SchemaCheck(rules, form.names)
                    for message in check.missing:
                        verdict.add("", row.line, message)
                if form.row_count:
                    for column, message in check.faults(row.cells):
                        verdict.add(column, row.line, message)
        except Malformed as error:
            verdict.add("", error.fault.line, error.fault.message)
    verdict.rows = form.row_count


def _csv_schema_fault(schema: Any) -> str | None:
    try:
        _CSV_SCHEMA.validate_python(schema)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        return f"not a csv schema: {place}: {fault['msg']}"
    return None


def _judge_xml(parameters: ValidateSchemaParameters, context: StepContext, verdict: _Verdict) -> None:
    text = parameters.schema if isinstance(parameters.schema, str) else None
    schema = XmlSchema(read_content(text, parameters.schema_file, context, name="schema"), context)
    verdict.documents = 1
    try:
        root = parse_xml_text(read_content(parameters.data, parameters.file, context, name="data"))
    except NotWellFormed as error:
        verdict.add(error.fault.path, error.fault.line, error.fault.message)
        return
    for fault in schema.faults(root):
        verdict.add(fault.path, fault.line, fault.message)
