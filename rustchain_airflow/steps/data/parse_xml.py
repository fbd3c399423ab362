"""Parse XML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from rustchain_airflow.steps.data.content import SourceParameters, read_content
from rustchain_airflow.steps.data.xml_text import Element, XmlSchema, parse_xml_text
from rustchain_airflow.steps.sdk import Alias, Output, ReadPath, StepContext, StepError, StepRefused, require, step

_MAX_DEPTH: Final = 100
"""Elements inside each other: each is two levels of JSON, and beyond some 250 outputs cannot be written."""


class ParseXmlParameters(SourceParameters):
    """What to read, which parts of it to give back, and what it has to look like."""

    xpath: str | None = Field(None, description="XPath 1.0 expression; what it selects becomes `matches`.")
    namespaces: dict[str, str] = Field({}, description="Prefixes that `xpath` uses, to namespace URIs.")
    schema_file: Annotated[ReadPath | None, Alias("schema")] = Field(
        None, description="The file that holds an XML Schema (XSD 1.0)."
    )


class ParseXmlOutput(Output):
    """A parsed document."""

    main = "root"

    root: dict[str, Any] = Field(description="The root element: {tag, attributes, text, children}.")
    matches: list[Any] | None = Field(None, description="What `xpath` selects; null where it is not given.")
    element_count: int = Field(description="Elements of the document.")
    valid: bool = Field(description="Whether the document satisfies the schema; true where none is given.")


@step(idempotent=True)
def parse_xml(parameters: ParseXmlParameters, context: StepContext) -> ParseXmlOutput:
    """Parse XML from text or a file.

    Every element is an object {tag, attributes, text, children}. Names in a namespace are written `{uri}name`,
    in `tag` and in `attributes`. `text` is all text directly inside the element, before, between and behind its
    children, without blanks at either end; the text of its children is theirs. Comments and processing instructions
    are left out.

    `xpath` adds `matches`: elements as such objects, attributes and text as text, and the number, text or boolean
    where the expression gives one. A prefix that it uses has to stand in `namespaces`, the document's own are not
    looked at.

    Nothing is ever fetched: a document type is not loaded, and one that declares entities fails, as do elements more
    than 100 levels deep. With `schema_file` a document the XSD forbids fails the step, with line and message; its
    output still holds the rest, with `valid: false`. What the XSD includes is read from the workspace only.
    """
    root = parse_xml_text(read_content(parameters.content, parameters.file, context))
    output = ParseXmlOutput(
        root=_as_object(root),
        matches=_matches(root, parameters.xpath, parameters.namespaces) if parameters.xpath is not None else None,
        element_count=sum(1 for _ in root.iter("*")),
        valid=True,
    )
    if parameters.schema_file is not None:
        schema = XmlSchema(read_content(None, parameters.schema_file, context), context)
        fault = next(schema.faults(root), None)
        if fault is not None:
            output.valid = False
            raise StepError(f"line {fault.line}: {fault.message}", output=output)
    return output


def _as_object(element: Element, depth: int = 1) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise StepError(f"line {element.sourceline}: elements are nested deeper than {_MAX_DEPTH} levels")
    pieces = [element.text or ""]
    children = []
    for child in element:
        if isinstance(child.tag, str):
            children.append(_as_object(child, depth + 1))
        pieces.append(child.tail or "")
    return {
        "tag": element.tag,
        "attributes": dict(element.attrib),
        "text": "".join(pieces).strip(),
        "children": children,
    }


def _matches(root: Element, expression: str, namespaces: Mapping[str, str]) -> list[Any]:
    etree = require("lxml.etree", "data")
    try:
        find = etree.XPath(expression, namespaces=dict(namespaces), regexp=False, smart_strings=False)
        found = find(root.getroottree())
    except (etree.XPathError, ValueError, TypeError) as error:
        raise StepRefused(f'xpath "{expression}" cannot be used: {error}') from None
    return [_plain(item, expression) for item in found] if isinstance(found, list) else [_plain(found, expression)]


def _plain(item: Any, expression: str) -> Any:
    if isinstance(item, str | bool):
        return item
    if isinstance(item, float):
        if not math.isfinite(item):
            raise StepError(f'xpath "{expression}" gives {item}, which is not a JSON number')
        return int(item) if item.is_integer() else item
    if isinstance(item, tuple):  # a namespace node: (prefix, uri)
        return item[1]
    return _as_object(item) if isinstance(item.tag, str) else item.text
