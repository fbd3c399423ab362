"""Between the text of a mission and the bytes of a file."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from rustchain_airflow.steps.sdk import StepError, StepRefused

BASE64 = "base64"


def _known(encoding: str) -> str:
    if encoding == BASE64:
        return encoding
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise PydanticCustomError(
            "encoding",
            'there is no text encoding "{encoding}"; common ones: utf-8, latin-1, cp1252, utf-16, base64',
            {"encoding": encoding},
        ) from None
    return encoding


Encoding = Annotated[str, AfterValidator(_known)]
"""The name of a text encoding, or base64 for the bytes themselves."""


def to_bytes(content: str, encoding: str) -> bytes:
    """What a file holds for a text. StepRefused for text that the encoding cannot say."""
    try:
        return base64.b64decode(content, validate=True) if encoding == BASE64 else content.encode(encoding)
    except binascii.Error as error:
        raise StepRefused(f"content is not base64: {error}") from None
    except UnicodeEncodeError as error:
        raise StepRefused(
            f"character {error.start} of the content (U+{ord(content[error.start]):04X}) cannot be written "
            f"in {encoding}; use encoding: utf-8"
        ) from None


def to_text(data: bytes, encoding: str, *, path: str) -> str:
    """The text that bytes of a file stand for. StepError names the first byte the encoding does not know."""
    try:
        return base64.b64encode(data).decode("ascii") if encoding == BASE64 else data.decode(encoding)
    except UnicodeDecodeError as error:
        raise StepError(
            f"{path} is not {encoding} text: byte {error.start} is 0x{data[error.start]:02x}; "
            "set encoding to the file's own, or to base64 for binary content"
        ) from None
