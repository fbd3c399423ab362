"""XML without surprises: nothing is fetched, no entity is expanded, depth is bounded; and XSD over the path guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from rustchain_airflow.steps.data.content import MAX_CONTENT_BYTES, Content
from rustchain_airflow.steps.sdk import StepContext, StepError, StepRefused, require

Element: TypeAlias = Any
"""An `lxml.etree._Element`; lxml is an extra, so its types are not named here."""

_WORKSPACE: Final = "workspace:///"


@dataclass(frozen=True, slots=True)
class XmlFault:
    """One thing wrong with a document; ``path`` is an XPath, empty where there is none."""

    path: str
    line: int | None
    message: str


class NotWellFormed(StepError):
    """The text is no XML document, or one that is refused; ``fault`` says where."""

    def __init__(self, name: str, fault: XmlFault) -> None:
        super().__init__(f"{name}:{fault.line}: {fault.message}" if fault.line else f"{name}: {fault.message}")
        self.fault = fault


def parse_xml_text(content: Content) -> Element:
    """The root element.

    Raises NotWellFormed for a fault, for entities of the document's own, and for elements inside each other beyond
    libxml2's 256 levels.
    """
    return _parse(content, _parser(content))


def _parser(content: Content) -> Any:
    etree = require("lxml.etree", "data")
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        encoding="utf-8" if content.is_inline else None,
    )


def _parse(content: Content, parser: Any, base: str | None = None) -> Element:
    etree = require("lxml.etree", "data")
    try:
        root = etree.fromstring(content.data, parser, base_url=base)
    except etree.XMLSyntaxError as error:
        message = error.msg.partition(", line ")[0].replace(", use XML_PARSE_HUGE option", "")
        raise NotWellFormed(content.name, XmlFault("", error.lineno or None, message)) from None
    document_type = root.getroottree().docinfo.internalDTD
    if document_type is not None and next(document_type.iterentities(), None) is not None:
        fault = XmlFault("", None, "the document declares entities, which are never expanded; write their text out")
        raise NotWellFormed(content.name, fault)
    return root


class XmlSchema:
    """A compiled XSD. What it includes or imports is read from the workspace, and from nowhere else."""

    def __init__(self, content: Content, context: StepContext) -> None:
        etree = require("lxml.etree", "data")
        refused: list[StepError] = []

        class WorkspaceOnly(etree.Resolver):  # type: ignore[misc, name-defined]
            def resolve(self, address: str, _public_id: str | None, resolution: Any) -> Any:
                try:
                    data = _included(address, context)
                except StepError as error:
                    # libxml2 would carry an exception over into whatever is parsed next.
                    refused.append(error)
                    data = b""
                return self.resolve_string(data, resolution, base_url=address)

        parser = _parser(content)
        parser.resolvers.add(WorkspaceOnly())
        try:
            root = _parse(content, parser, base=_WORKSPACE + (content.name))
            self._schema = etree.XMLSchema(root)
        except NotWellFormed as error:
            raise StepRefused(f"the schema is not usable: {error}") from None
        except etree.XMLSchemaParseError as error:
            if not refused:
                raise StepRefused(f"{content.name} is not a usable XSD: {error}") from None
        if refused:
            raise StepRefused(f"{content.name} is not a usable XSD: {refused[0]}")

    def faults(self, root: Element) -> Iterator[XmlFault]:
        """What is wrong with a document, in its order."""
        if not self._schema.validate(root):
            for entry in self._schema.error_log:
                yield XmlFault(entry.path or "", entry.line or None, entry.message)


def _included(address: str, context: StepContext) -> bytes:
    if not address.startswith(_WORKSPACE):
        raise StepRefused(f'it includes "{address}", and schemas are only read from the workspace')
    return context.workspace.read(unquote(address.removeprefix(_WORKSPACE)), max_bytes=MAX_CONTENT_BYTES)
