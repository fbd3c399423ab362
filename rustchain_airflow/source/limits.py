"""What reading a text may cost."""

from __future__ import annotations

from typing import Final, NamedTuple


class Limits(NamedTuple):
    """What a text may cost (semantics §1.2). The defaults admit 100 MB and 200,000 steps."""

    max_bytes: int = 128 * 1024 * 1024
    """Size of the file."""
    max_depth: int = 100
    """Lists and mappings inside each other."""
    max_nodes: int = 50_000_000
    """Lists, mappings, keys and scalars, each alias counted with all it stands for."""
    max_expansion: int = 1_000_000
    """Nodes that aliases may add; a document that writes more may always grow by ten times what it writes."""


DEFAULT_LIMITS: Final = Limits()
