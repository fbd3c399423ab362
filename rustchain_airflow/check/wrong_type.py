"""RC103: a value is not of the kind its key needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rustchain_airflow.check.draft import Draft, ShapeError
from rustchain_airflow.check.rule import Found, rule

KINDS = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


@rule("RC103", "wrong-type")
def wrong_type(draft: Draft) -> Iterator[Found]:
    """A value has the wrong kind: text where a number is due, a mapping where a list is due, a number out of range.

    Numbers and booleans written as text ("3", "true") are accepted; nothing else is converted.
    """
    for finding in draft.canonical.findings:
        if finding.code == "RC103":
            yield Found(finding.path, finding.message, finding.help, finding.at_key)
    for fault in draft.shape:
        if fault.type == "missing" or (fault.path[-1:] in (("step_type",), ("id",)) and fault.path[:1] == ("steps",)):
            continue
        yield Found(fault.path, _message(fault), _help(fault))


def _message(fault: ShapeError) -> str:
    key = next((f'"{part}"' for part in reversed(fault.path) if isinstance(part, str)), "this")
    if isinstance(fault.path[-1], int):
        key = f"entry {fault.path[-1] + 1} of {key}"
    return f"{key} {complaint(fault.type, fault.message, fault.input)}"


def complaint(error_type: str, message: str, value: Any) -> str:
    """What pydantic found, in our words: ``must be a list, not the text "x"``."""
    if (kind := KINDS.get(error_type)) is not None:
        return f"must be {kind}, not {kind_of(value)}"
    message = message.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}".replace("input should be", "must be")


def _help(fault: ShapeError) -> str | None:
    if fault.type.startswith("bool") and isinstance(fault.input, str):
        word = fault.input.lower()
        if word in ("yes", "on", "y", "1"):
            return "write true"
        if word in ("no", "off", "n", "0"):
            return "write false"
    if fault.type == "string_type" and isinstance(fault.input, (int, float, bool)):
        return "put it in quotes"
    return None


def kind_of(value: Any) -> str:
    """What a value is, in the words of the messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= 40 else "text"
    return "a list" if isinstance(value, list) else "a mapping"
