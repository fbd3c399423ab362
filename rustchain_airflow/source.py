"""Mission text to a Document: the value, and where in the text each part of it stands."""

from __future__ import annotations

DocumentPath = tuple[str | int, ...]


class Span: ...
